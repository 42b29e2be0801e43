"""`mongo-backup release`: undo what backups left on a deployment, by its journal, for a person in need."""

from __future__ import annotations

from typing import Annotated

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials, load_objects
from mongo_backup.errors import ConfigurationError


def release(
    target: Annotated[str, typer.Argument(help="Name of the AppBinding.")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what a run that is still alive holds: that run will fail.")
    ] = False,
    owner: Annotated[str | None, typer.Option(help="Only what this run holds: DAG id/run id.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is held, undo nothing.")] = False,
) -> None:
    """Unlock members, put parameters back and start the balancer, where a backup that died could not.

    Only what the journal on the deployment says is ours is undone, and only what nobody renews any more (--all: all).
    """
    from mongo_backup.connection import Connector
    from mongo_backup.journal import Journal
    from mongo_backup.locks.release import release as undo
    from mongo_backup.objects.object_set import exists

    bindings = load_objects(objects).app_bindings
    if target not in bindings:
        raise ConfigurationError(f"there is no AppBinding {target!r}; {exists(bindings, target)}")
    with Connector(binding=bindings[target], credentials=load_credentials(credentials)) as connector:
        for entry in Journal(connector).entries(owner):
            typer.echo(f"{'alive' if entry.alive else 'expired'}: {entry}")
        if dry_run:
            return
        done = undo(connector, owner=owner, expired_only=not everything)
        for words in done:
            typer.echo(f"undone: {words}")
        left = Journal(connector).entries(owner)
    rest = f"; {len(left)} still held by a run that is alive (--all ends them)" if left else ""
    typer.echo(f"{len(done)} undone{rest}")
