"""`mongo-backup release`: undo what runs left on deployments, by their journals, for a person in need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials, load_objects
from mongo_backup.errors import ConfigurationError, MongoBackupError

if TYPE_CHECKING:
    from mongo_backup.connection import Connector
    from mongo_backup.journal import JournalEntry
    from mongo_backup.objects.app_binding import AppBinding


def release(
    target: Annotated[
        list[str] | None, typer.Option("--target", "-t", help="Name of an AppBinding; may be repeated. None: all.")
    ] = None,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    run: Annotated[str | None, typer.Option("--run", help="Only what this run holds: DAG id/run id.")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="With --run: although its lease has not ended. End the run in Airflow first."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is held, undo nothing.")] = False,
) -> None:
    """Unlock members, put parameters back and start the balancer, where a run that died could not.

    Only what the journal on the deployment says is ours is undone, and only what nobody renews any more.
    """
    if force and run is None:
        raise ConfigurationError("--force ends what a run holds that may be alive: name it with --run 'DAG id/run id'")
    found = load_credentials(credentials)
    failed: list[tuple[str, MongoBackupError]] = []
    for binding in _chosen(load_objects(objects).app_bindings, target):
        from mongo_backup.agent.steps.release import connect

        try:
            with connect(binding, found) as connector:
                _release(connector, run=run, force=force, dry_run=dry_run)
        except MongoBackupError as error:  # the others are no worse for it
            typer.echo(f"{binding.name}: {error.message}", err=True)
            failed.append((binding.name, error))
    if failed:
        kind = type(failed[0][1])
        raise kind(f"not done: {', '.join(name for name, _ in failed)}; the reason is above")


def _chosen(bindings: Mapping[str, AppBinding], wanted: list[str] | None) -> list[AppBinding]:
    from mongo_backup.objects.object_set import exists

    for name in wanted or ():
        if name not in bindings:
            raise ConfigurationError(f"there is no AppBinding {name!r}; {exists(bindings, name)}")
    return [bindings[name] for name in dict.fromkeys(wanted or bindings)]


def _release(connector: Connector, *, run: str | None, force: bool, dry_run: bool) -> None:
    """One deployment."""
    from mongo_backup.journal import Journal
    from mongo_backup.locks.release import release as undo

    name = connector.binding.name
    entries = [entry for entry in Journal(connector).entries() if run is None or _is_of(entry, run)]
    for entry in entries:
        typer.echo(f"{name}: {'alive' if entry.alive else 'expired'}: {entry}")
    if dry_run:
        return
    done: list[str] = []
    for owner in dict.fromkeys(entry.owner for entry in entries):
        done += undo(connector, owner=owner, expired_only=not force)
    for words in done:
        typer.echo(f"{name}: undone: {words}")
    left = [entry for entry in entries if entry.alive] if not force else []
    rest = f"; {len(left)} left alone, their lease has not ended" if left else ""
    typer.echo(f"{name}: {len(done)} undone{rest}")


def _is_of(entry: JournalEntry, run: str) -> bool:
    """Whether an entry is of the run that a person names; the journal knows its beginning too."""
    return entry.owner == run or entry.owner.startswith(f"{run} begun ")
