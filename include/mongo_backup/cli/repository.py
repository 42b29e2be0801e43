"""`mongo-backup repository`: check, prune, copy, unlock, keys of a configuration's repository, without Airflow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials
from mongo_backup.cli.copy import copy as copy_
from mongo_backup.cli.source import CopyOption, resolve

if TYPE_CHECKING:
    from mongo_backup.repository.restic import Repository

NEW_PASSWORD_VARIABLE = "MONGO_BACKUP_NEW_PASSWORD"  # noqa: S105 - a name

app = typer.Typer(help="Look after a repository: check, prune, copy, unlock, keys.", no_args_is_help=True)
key = typer.Typer(help="The repository's keys: each password that opens it is one.", no_args_is_help=True)
app.add_typer(key, name="key")
app.command(name="copy")(copy_)

ConfigurationArgument = Annotated[str, typer.Argument(help="Name of the BackupConfiguration.")]
WaitOption = Annotated[
    float, typer.Option("--wait", help="Seconds to wait for a running backup to end.", min=0, metavar="SECONDS")
]


@app.command()
def check(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    part: Annotated[
        str | None, typer.Option(help="Also read this part of the data: 3/8, 10% or 5G; `all`: all of them.")
    ] = None,
    wait: WaitOption = 60,
) -> None:
    """Check the structure, and a part of the data if you name one. Exit code 13 if anything is damaged."""
    from mongo_backup.repository.damage import describe
    from mongo_backup.repository.upkeep import DamagedError

    with _opened(configuration, objects, credentials, copy) as repository:
        try:
            repository.check(read_data_subset="1/1" if part == "all" else part, wait_seconds=wait)
        except DamagedError as error:
            raise DamagedError(describe(repository, error)) from None
    typer.echo(f"nothing is damaged: the structure{f' and {part} of the data' if part else ''} of {configuration}")


@app.command()
def prune(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    wait: WaitOption = 60,
) -> None:
    """Remove data that no snapshot needs any more. While it runs, backups of this repository fail: pause their DAGs."""
    with _opened(configuration, objects, credentials, copy) as repository:
        done = repository.prune(wait_seconds=wait)
    typer.echo(f"freed {(done.freed_bytes or 0) / 1e6:.1f} MB, {(done.stored_bytes or 0) / 1e6:.1f} MB are left")


@app.command()
def unlock(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
) -> None:
    """Remove restic's locks whose process is gone: dead on this machine, or silent for 30 minutes. Never others."""
    with _opened(configuration, objects, credentials, copy) as repository:
        removed, left = repository.remove_stale_locks()
    rest = f", {len(left)} of somebody who lives stay" if left else ""
    typer.echo(f"{len(removed)} stale locks removed{rest}")


@key.command(name="list")
def list_(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """List the keys. The one marked `*` is that of the password in use."""
    from mongo_backup.repository.keys import list_keys

    with _opened(configuration, objects, credentials, copy) as repository:
        keys = list_keys(repository)
    if output == "json":
        typer.echo(json.dumps([each.model_dump() for each in keys], indent=2))
        return
    for each in keys:
        typer.echo(f"{'*' if each.current else ' '} {each.id}  {each.created}  {each.user_name}@{each.host_name}")


@key.command()
def add(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    password_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with the new password; `-`: standard input; none: {NEW_PASSWORD_VARIABLE}."),
    ] = None,
) -> None:
    """Add a key for a new password; the old one goes on working. The password is never an argument."""
    from mongo_backup.repository.keys import add_key

    password = _new_password(password_file)
    with _opened(configuration, objects, credentials, copy) as repository:
        added = add_key(repository, password)
    typer.echo(
        f"key {added.id} is there, and opens the repository: now write the new password into the credential, "
        "and when all runs use it, remove the old key"
    )


@key.command()
def remove(
    configuration: ConfigurationArgument,
    key_id: Annotated[str, typer.Argument(help="Id of the key.", metavar="KEY")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
) -> None:
    """Remove a key: its password opens the repository no more. Never the one in use."""
    from mongo_backup.repository.keys import remove_key

    with _opened(configuration, objects, credentials, copy) as repository:
        removed = remove_key(repository, key_id)
    typer.echo(f"key {removed.id} is gone")


def _new_password(path: Path | None) -> str:
    """Read the new password; the newline at its end is no part of it.

    :raises ConfigurationError: there is none, or the file cannot be read.
    """
    from mongo_backup import logs
    from mongo_backup.errors import ConfigurationError

    try:
        if path is None:
            text = os.environ.get(NEW_PASSWORD_VARIABLE, "")
        else:
            text = sys.stdin.read() if str(path) == "-" else path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigurationError(
            f"the new password is empty: give --password-file FILE (`-`: standard input) or set {NEW_PASSWORD_VARIABLE}"
        )
    logs.hide([text])
    return text


@contextmanager
def _opened(configuration: str, objects: Path, credentials: Path | None, copy: str | None) -> Iterator[Repository]:
    from mongo_backup.repository.restic import Repository

    resolved = resolve(objects, configuration, copy=copy)
    with Repository.of(
        configuration=resolved.configuration, storage=resolved.storage, credentials=load_credentials(credentials)
    ) as repository:
        yield repository
