"""Finds secrets that stand in an object in the clear, where the models would take them for ordinary text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mongo_backup.objects.problems import Path, has_userinfo, speaks_of_secrets

_SECRET_ARGUMENT = re.compile(r"^(--password|-p|--sslPEMKeyPassword|--awsSessionToken)(=|$|(?<=-p)[^-])")
_SECRET_FIELDS = {"pwd", "password", "passwd"}
"""Of a database command, such as `createUser`."""
_ONLY_POINTS = re.compile(r"_(file|path|name)$", re.IGNORECASE)
"""`RESTIC_PASSWORD_FILE` says where a secret is, not what it is."""


def plain_secrets(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Give the path of each secret found and what to do; never the secret."""
    if isinstance(value, dict):
        if _is_plain_variable(value):
            yield (
                (*path, "value"),
                f"is not allowed: {value['name']} looks like a secret; "
                "write `valueFrom: {secretKeyRef: {name: ..., key: ...}}` in its place",
            )
            return
        for key, inner in value.items():
            if path[-2:] == ("mongo", "command") and isinstance(inner, str) and key.lower() in _SECRET_FIELDS:
                yield (
                    (*path, key),
                    "is not allowed: it stands in the object, in the DAG and in every manifest; send such a command "
                    "with a `command` hook, whose `credentials` are a reference",
                )
            else:
                yield from plain_secrets(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from plain_secrets(inner, (*path, index))
    elif isinstance(value, str) and has_userinfo(value):
        yield path, "has a user name or password in it; write the address alone and put both into `credentials`"
    elif isinstance(value, str) and "args" in path and _SECRET_ARGUMENT.match(value):
        yield (
            path,
            "is not allowed: an argument is visible to everybody on the machine; use the AppBinding's credentials",
        )


def _is_plain_variable(value: dict[str, Any]) -> bool:
    """`{name: MONGO_PASSWORD, value: ...}`: an environment variable of a container."""
    name = value.get("name")
    return bool(
        set(value) == {"name", "value"}
        and value["value"]
        and isinstance(name, str)
        and speaks_of_secrets(name)
        and not _ONLY_POINTS.search(name)
    )
