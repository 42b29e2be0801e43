"""How the MongoDB Database Tools are called: found on PATH, the password in a file, their words in the log.

The connection string goes into a file that only this user reads (`--config`, with `uri`); arguments are public on a
machine. https://www.mongodb.com/docs/database-tools/mongodump/#std-option-mongodump.--config
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mongo_backup.errors import ConfigurationError, MongoBackupError, PermanentError, PreconditionError, TransientError
from mongo_backup.processes import redact

logger = logging.getLogger(__name__)

_URI_OPTIONS = ("authSource", "authMechanism", "tls", "tlsCAFile", "tlsCertificateKeyFile", "replicaSet")
_OURS = frozenset(
    (
        *("-h", "--host", "--port", "--uri", "--config", "-u", "--username", "-p", "--password"),
        *("--authenticationDatabase", "--archive", "--gzip", "-o", "--out", "--dir", "--dryRun"),
        *("-d", "--db", "-c", "--collection", "-q", "--query", "--queryFile", "--oplog", "--oplogReplay"),
    )
)
"""Options that the product sets itself, or that would make something else of a backup."""
_SIGNALLED = 128
_CONNECTION_LOST = re.compile(r"connection|server selection|socket|unexpected EOF|i/o timeout|NotPrimary|not master")
_REFUSED_CREDENTIALS = ("AuthenticationFailed", "Authentication failed", "Unauthorized", "not authorized")


def find_tool(name: str) -> str:
    """Return the path of a tool.

    :raises PreconditionError: it is not on PATH.
    """
    if found := shutil.which(name):
        return found
    raise PreconditionError(
        f"{name} is not on PATH: install the MongoDB Database Tools, which the agent image has, or use engine: native"
    )


def checked_arguments(arguments: Iterable[str]) -> list[str]:
    """Return further arguments of the addon.

    :raises ConfigurationError: one of them is the product's own business.
    """
    given = list(arguments)
    for argument in given:
        if argument.partition("=")[0] in _OURS or not argument.startswith("-"):
            raise ConfigurationError(
                f"the addon's argument {argument!r} cannot be given to the tool: write options as --name=value; "
                "what is backed up or restored stands in include and exclude, the connection in the AppBinding"
            )
    return given


@contextmanager
def configuration_file(hosts: Iterable[str], options: Mapping[str, Any], *, direct: bool) -> Iterator[Path]:
    """Write the file for `--config`; it is gone afterwards.

    :param options: the driver's, with user name and password in the clear.
    :param direct: talk to this one member, whatever its state.
    :raises ConfigurationError: the tools cannot do what an option asks for.
    """
    with tempfile.TemporaryDirectory(prefix="mongo-backup-tool-") as folder:
        path = Path(folder) / "config.yaml"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"uri: {json.dumps(connection_string(hosts, options, direct=direct))}\n")
        yield path


def connection_string(hosts: Iterable[str], options: Mapping[str, Any], *, direct: bool) -> str:
    """Return the `mongodb://` form of the driver's options.

    :raises ConfigurationError: `tlsAllowInvalidHostnames`: the tools could only switch off all checks.
    """
    if options.get("tlsAllowInvalidHostnames"):
        raise ConfigurationError(
            "the MongoDB Database Tools cannot accept a wrong host name in a certificate without giving up all checks: "
            "use engine: native, or certificates with the right names"
        )
    login = ""
    if options.get("username"):
        login = f"{_quoted(options['username'])}:{_quoted(options.get('password') or '')}@"
    query = {name: options[name] for name in _URI_OPTIONS if options.get(name) is not None}
    if direct:
        query = {name: value for name, value in query.items() if name != "replicaSet"} | {"directConnection": True}
    pairs = (
        f"{name}={_quoted(str(value).lower() if isinstance(value, bool) else value)}" for name, value in query.items()
    )
    return f"mongodb://{login}{','.join(hosts)}/?{'&'.join(pairs)}"


def environment() -> dict[str, str]:
    """Return what a tool needs of the environment: nothing of what may be secret in it."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}


def secrets_of(options: Mapping[str, Any]) -> list[str]:
    """Return what must never be logged, in the forms in which a tool may quote it."""
    password = str(options.get("password") or "")
    return [password, _quoted(password)] if password else []


def tool_failure(name: str, *, host: str, status: int, words: str, secrets: Iterable[str]) -> MongoBackupError:
    """Return the error for a tool that ended with a status other than 0."""
    lines = [line for line in words.splitlines() if line.strip()]
    last = redact(" / ".join(lines[-2:]), secrets)[-600:] or "it said nothing"
    if any(sign in words for sign in _REFUSED_CREDENTIALS):
        return ConfigurationError(f"{name} may not do its work on {host}: {last}")
    kind = TransientError if status >= _SIGNALLED or _CONNECTION_LOST.search(words) else PermanentError
    return kind(f"{name} on {host} ended with status {status}: {last}")


def _quoted(text: object) -> str:
    return quote(str(text), safe="")
