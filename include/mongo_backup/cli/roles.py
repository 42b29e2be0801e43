"""`mongo-backup roles`: the MongoDB roles and users that backups and restores need, for mongosh."""

from __future__ import annotations

from typing import Annotated

import typer


def roles(
    user: Annotated[str, typer.Option(help="Name of the user.")] = "",
    restore: Annotated[bool, typer.Option("--restore", help="Those of restores instead of backups.")] = False,
) -> None:
    """Print the MongoDB role and user that backups (or restores) need, as lines for mongosh.

    Run them on the primary of every replica set of the deployment: each shard and the config server.
    """
    from mongo_backup.topology.roles import BACKUP_ROLE, RESTORE_ROLE, shell_text

    if restore:
        typer.echo(shell_text(RESTORE_ROLE, user or "mongo-restore"), nl=False)
    else:
        typer.echo(shell_text(BACKUP_ROLE, user or "mongo-backup"), nl=False)
