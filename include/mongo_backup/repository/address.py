"""From restic's name of a repository back to where it is: for a person who has nothing but address and password.

The forms are those of restic's manual, chapter "Preparing a new repository"
(https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.storage import StoreSpec

_STORE: TypeAdapter[StoreSpec] = TypeAdapter(StoreSpec)
_SFTP = re.compile(r"sftp:(?://)?(?P<user>[^@/]+)@(?P<host>[^/:]+(?::\d+)?)[:/](?P<path>/.*)")
_Found = tuple[StoreSpec, str]
_EXAMPLES = (
    "s3:https://host/bucket/folder/name, gs:bucket:/folder/name, azure:container:/folder/name, "
    "rest:https://host/folder/name, sftp:user@host:/folder/name, b2:bucket:folder/name, rclone:remote:folder/name, "
    "or the path of a folder"
)


def store_of(location: str) -> tuple[StoreSpec, str]:
    """Return the store and the name of the repository in it.

    :param location: as restic writes it, such as `s3:https://store.example/backups/mongodb/shop`.
    :raises ConfigurationError: it cannot be read, or has a password in it.
    """
    scheme, colon, rest = location.partition(":")
    try:
        if not colon or scheme not in _PARTS:
            return _local(location)
        return _PARTS[scheme](location, rest)
    except (ValidationError, ValueError, AttributeError):
        raise ConfigurationError(f"the repository's address cannot be read; write one of: {_EXAMPLES}") from None


def _split(path: str) -> tuple[str, str]:
    """The folder, and the repository's name: the last part."""
    folder, _, name = path.strip("/").rpartition("/")
    if not name:
        raise ValueError("no name")
    return folder, name


def _store(provider: str, **fields: Any) -> StoreSpec:
    return _STORE.validate_python({"provider": provider, **fields})


def _local(location: str) -> tuple[StoreSpec, str]:
    if not location:
        raise ValueError("nothing")
    path = Path(location.removeprefix("local:")).expanduser().absolute()
    if not path.name:
        raise ValueError("no name")
    return _store("local", path=str(path.parent)), path.name


def _s3(location: str, rest: str) -> tuple[StoreSpec, str]:
    url = urlsplit(rest if "://" in rest else f"https://{rest.lstrip('/')}")
    bucket, _, path = url.path.strip("/").partition("/")
    prefix, name = _split(path)
    return _store("s3", endpoint=f"{url.scheme}://{url.netloc}", bucket=bucket, prefix=prefix), name


def _gcs(location: str, rest: str) -> tuple[StoreSpec, str]:
    bucket, _, path = rest.partition(":")
    prefix, name = _split(path)
    return _store("gcs", bucket=bucket, prefix=prefix), name


def _azure(location: str, rest: str) -> tuple[StoreSpec, str]:
    container, _, path = rest.partition(":")
    prefix, name = _split(path)
    return _store("azure", container=container, prefix=prefix), name


def _b2(location: str, rest: str) -> tuple[StoreSpec, str]:
    bucket, _, path = rest.partition(":")
    prefix, name = _split(path)
    return _store("b2", bucket=bucket, prefix=prefix), name


def _rest(location: str, rest: str) -> tuple[StoreSpec, str]:
    url = urlsplit(rest)
    if "@" in url.netloc:
        raise ConfigurationError(
            "the repository's address holds a login: leave it out (arguments are visible to everybody) and set "
            "RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD"
        )
    folder, name = _split(url.path)
    return _store("rest", url=f"{url.scheme}://{url.netloc}/{folder}"), name


def _sftp(location: str, rest: str) -> tuple[StoreSpec, str]:
    match = _SFTP.fullmatch(location)
    if match is None:
        raise ValueError("no sftp address")
    path, name = _split(match["path"])
    return _store("sftp", user=match["user"], host=match["host"], path=f"/{path}"), name


def _rclone(location: str, rest: str) -> tuple[StoreSpec, str]:
    remote, _, path = rest.partition(":")
    prefix, name = _split(path)
    return _store("rclone", remote=f"{remote}:", prefix=prefix), name


_PARTS: dict[str, Callable[[str, str], _Found]] = {
    "local": lambda location, _: _local(location),
    "s3": _s3,
    "gs": _gcs,
    "azure": _azure,
    "b2": _b2,
    "rest": _rest,
    "sftp": _sftp,
    "rclone": _rclone,
}
