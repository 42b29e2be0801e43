"""`mongo-backup snapshots`: the complete sets of a configuration, from its repository."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials, load_objects

if TYPE_CHECKING:
    from mongo_backup.manifest.model import Manifest

_HEAD = ("SET", "SESSION", "CLUSTER TIME", "CONSISTENCY", "COMPONENTS", "DOCUMENTS", "SIZE")


def snapshots(
    configuration: Annotated[str, typer.Argument(help="Name of the BackupConfiguration.")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    session: Annotated[str | None, typer.Option(help="Only those of this session.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 20,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """List the newest complete sets of a configuration, the newest last: what can be restored."""
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifest
    from mongo_backup.repository.restic import Repository

    resolved = load_objects(objects).resolve(configuration)
    with Repository.of(
        configuration=resolved.configuration, storage=resolved.storage, credentials=load_credentials(credentials)
    ) as repository:
        catalog = SetCatalog.read(repository)
        complete = catalog.complete(session)
        manifests = [read_manifest(repository, entry) for entry in complete[-limit:]]
    if output == "json":
        typer.echo(json.dumps([_summary(each) for each in manifests], indent=2))
        return
    rows = [_HEAD, *map(_row, manifests)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows if manifests else ():
        typer.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
    remains = len(catalog.incomplete())
    rest = f", {remains} without a manifest (of failed backups, or of one that runs)" if remains else ""
    typer.echo(f"{len(complete)} complete sets{rest}")


def _summary(manifest: Manifest) -> dict[str, Any]:
    """What the table shows, for programs."""
    fields = {"set_id", "session", "started", "finished", "topology", "server_version", "consistency", "cluster_time"}
    return {
        **manifest.model_dump(mode="json", include=fields),
        "components": [component.name for component in manifest.components],
        "documents": manifest.documents,
        "bytes": manifest.bytes,
    }


def _row(manifest: Manifest) -> tuple[str, ...]:
    time = manifest.cluster_time
    when = f"{datetime.fromtimestamp(time.t, UTC):%Y-%m-%d %H:%M:%S}Z ({time})" if time else "-"
    return (
        manifest.set_id,
        manifest.session,
        when,
        str(manifest.consistency),
        ",".join(component.name for component in manifest.components),
        str(manifest.documents),
        f"{manifest.bytes / 1e6:.1f} MB",
    )
