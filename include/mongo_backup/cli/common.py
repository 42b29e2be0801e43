"""What commands for people share: where the objects are, where the credentials are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mongo_backup.credentials import CREDENTIALS_VARIABLE
from mongo_backup.errors import ConfigurationError

if TYPE_CHECKING:
    from mongo_backup.credentials import Credentials
    from mongo_backup.objects.object_set import ObjectSet

ObjectsOption = Annotated[
    Path, typer.Option("--objects", help="The folder of objects.", envvar="MONGO_BACKUP_CONFIG", show_envvar=True)
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        help="A file that only you can read: JSON, {reference: {username, password}} (docs/reference/agent.md).",
        envvar=CREDENTIALS_VARIABLE,
        show_envvar=True,
    ),
]
DEFAULT_OBJECTS = Path("include/config")


def load_objects(folder: Path) -> ObjectSet:
    """Read the objects; what is wrong with some matters only to who needs them.

    :raises ConfigurationError: there is no such folder.
    """
    from mongo_backup.objects.loader import load_directory

    return load_directory(folder)


def load_credentials(path: Path | None) -> Credentials:
    """Read the credentials, and hide their values in everything that is shown.

    :raises ConfigurationError: the file cannot be read, or others can read it.
    """
    from mongo_backup import logs
    from mongo_backup.credentials import read_credentials

    if path is not None and path.is_file() and path.stat().st_mode & 0o077:
        raise ConfigurationError(f"others can read {path}: run `chmod 600 {path}`, then try again")
    found = read_credentials(str(path) if path else None)
    logs.hide_credentials(found)
    return found
