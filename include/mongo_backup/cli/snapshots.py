"""`mongo-backup snapshots list|show|diff`: the complete sets of a repository, what is in one, what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption
from mongo_backup.cli.source import SET_HELP, ConfigurationArgument, CopyOption, RepositoryOption, Source
from mongo_backup.cli.tables import megabytes, table
from mongo_backup.errors import MongoBackupError

if TYPE_CHECKING:
    from mongo_backup.manifest.catalog import SetEntry
    from mongo_backup.manifest.diff import NamespaceChange, SetDiff
    from mongo_backup.manifest.model import Manifest
    from mongo_backup.verify.record import VerificationRecord

app = typer.Typer(help="Show the snapshots that can be restored, one of them, or what changed.", no_args_is_help=True)

OutputOption = Annotated[Literal["table", "json"], typer.Option(help="How to print.")]
_VERDICTS = {"verified": "yes", "failed": "FAILED"}
_HEAD = ("SET", "SESSION", "CLUSTER TIME", "CONSISTENCY", "COMPONENTS", "DOCUMENTS", "SIZE", "VERIFIED", "NOTES")


@app.command(name="list")
def list_(
    configuration: ConfigurationArgument = None,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    repository: RepositoryOption = None,
    copy: CopyOption = None,
    session: Annotated[str | None, typer.Option(help="Only those of this session.")] = None,
    limit: Annotated[int, typer.Option(help="The newest so many.", min=1)] = 20,
    output: OutputOption = "table",
) -> None:
    """List the newest complete sets, the newest last: what can be restored."""
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifests

    where = Source(
        configuration=configuration, objects=objects, credentials=credentials, repository=repository, copy=copy
    )
    with where.open() as opened:
        catalog = SetCatalog.read(opened)
        complete = catalog.complete(session)
        found = read_manifests(opened, complete[-limit:])
    if output == "json":
        typer.echo(json.dumps([_summary(entry, each) for entry, each in found], indent=2))
        return
    for line in table([_HEAD, *(_row(entry, each) for entry, each in found)]) if found else ():
        typer.echo(line)
    for line in damaged(found):
        typer.echo(line)
    remains = len(catalog.incomplete())
    rest = f", {remains} without a manifest (of failed backups, or of one that runs)" if remains else ""
    typer.echo(f"{len(complete)} complete sets{rest}")


@app.command()
def show(
    configuration: ConfigurationArgument = None,
    set_id: Annotated[str, typer.Option("--set", help=SET_HELP)] = "latest",
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    repository: RepositoryOption = None,
    copy: CopyOption = None,
    output: Annotated[
        Literal["table", "json"], typer.Option(help="How to print; json is the manifest itself.")
    ] = "table",
) -> None:
    """Show one set: components, namespaces, verification, what is odd about it."""
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifest
    from mongo_backup.verify.record import read_record

    where = Source(
        configuration=configuration, objects=objects, credentials=credentials, repository=repository, copy=copy
    )
    with where.open() as opened:
        entry = SetCatalog.read(opened).find(set_id)
        manifest, record = read_manifest(opened, entry), read_record(opened, entry)
    if output == "json":
        told = {"manifest": manifest, "verification": record}
        shown = {name: each.model_dump(mode="json") if each else None for name, each in told.items()}
        typer.echo(json.dumps(shown, indent=2))
        return
    for line in _details(manifest, record):
        typer.echo(line)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="Id of a set.")],
    after: Annotated[str, typer.Argument(help=SET_HELP)] = "latest",
    configuration: Annotated[
        str | None, typer.Option("--configuration", help="Name of the BackupConfiguration; not with --repository.")
    ] = None,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    repository: RepositoryOption = None,
    copy: CopyOption = None,
    output: OutputOption = "table",
) -> None:
    """Compare two sets: namespaces added and removed, documents, bytes, options, indexes."""
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.diff import diff as compare
    from mongo_backup.manifest.store import read_manifest

    where = Source(
        configuration=configuration, objects=objects, credentials=credentials, repository=repository, copy=copy
    )
    with where.open() as opened:
        catalog = SetCatalog.read(opened)
        old, new = (read_manifest(opened, catalog.find(each)) for each in (before, after))
    found = compare(old, new)
    if output == "json":
        typer.echo(found.model_dump_json(indent=2))
        return
    for line in _difference(found):
        typer.echo(line)


def damaged(found: Sequence[tuple[SetEntry, Manifest | MongoBackupError]]) -> Iterator[str]:
    """A line for each set that cannot be restored."""
    for entry, each in found:
        if isinstance(each, MongoBackupError):
            yield f"DAMAGED: set {entry.set_id}: {each.message}"


def _summary(entry: SetEntry, manifest: Manifest | MongoBackupError) -> dict[str, Any]:
    """What the table shows, for programs; of a set that cannot be restored the reason."""
    if isinstance(manifest, MongoBackupError):
        return {"set_id": entry.set_id, "session": entry.session, "damaged": manifest.message}
    fields = {"set_id", "session", "started", "finished", "topology", "server_version", "consistency", "cluster_time"}
    return {
        **manifest.model_dump(mode="json", include=fields),
        "components": [component.name for component in manifest.components],
        "documents": manifest.documents,
        "bytes": manifest.bytes,
        "verified": entry.verified,
        "verdict": entry.verdict,
        "judged": entry.judged.isoformat() if entry.judged else None,
        "suspicious": list(manifest.suspicious),
        "marks": list(entry.marks),
    }


def _when(manifest: Manifest) -> str:
    time = manifest.cluster_time
    return f"{datetime.fromtimestamp(time.t, UTC):%Y-%m-%d %H:%M:%S}Z ({time})" if time else "-"


def _row(entry: SetEntry, manifest: Manifest | MongoBackupError) -> tuple[str, ...]:
    if isinstance(manifest, MongoBackupError):
        return (entry.set_id, entry.session or "-", *["-"] * 5, _VERDICTS.get(entry.verdict or "", "-"), "DAMAGED")
    notes = [*entry.marks, *(["suspicious"] if manifest.suspicious else [])]
    return (
        manifest.set_id,
        manifest.session,
        _when(manifest),
        str(manifest.consistency),
        ",".join(component.name for component in manifest.components),
        str(manifest.documents),
        megabytes(manifest.bytes),
        _VERDICTS.get(entry.verdict or "", "-"),
        ", ".join(notes),
    )


def _details(manifest: Manifest, record: VerificationRecord | None) -> Iterator[str]:
    yield f"Set {manifest.set_id} of {manifest.configuration}, session {manifest.session}"
    yield f"Taken {manifest.started:%F %T} to {manifest.finished:%F %T} UTC, cluster time {_when(manifest)}"
    yield (
        f"{manifest.topology}, MongoDB {manifest.server_version}, consistency {manifest.consistency}, "
        f"{manifest.documents} documents, {megabytes(manifest.bytes)}"
    )
    if manifest.copied:
        yield f"Copied {manifest.copied.at:%F %T} UTC from {manifest.copied.repository}"
    for reason in manifest.suspicious:
        yield f"SUSPICIOUS: {reason}"
    if record is None:
        yield "Never verified"
    else:
        reason = f": {record.reason}" if record.reason else ""
        yield f"{record.result.capitalize()} {record.finished:%F %T} UTC in {record.seconds:.0f} s{reason}"
        for check in record.checks:
            yield f"  {'passed' if check.ok else 'FAILED'}: {check.name} ({check.words})"
    yield ""
    rows = [("COMPONENT", "NAMESPACE", "TYPE", "DOCUMENTS", "SIZE", "INDEXES")]
    rows += [
        (each.name, r.namespace, r.type, str(r.documents), megabytes(r.bytes), ",".join(i["name"] for i in r.indexes))
        for each in manifest.components
        for r in each.namespaces
    ]
    yield from table(rows)


def _difference(found: SetDiff) -> Iterator[str]:
    yield f"From {found.before} to {found.after}: {_grown(found.documents)} documents, {_size(found.bytes)}"
    for name, documents in found.added.items():
        yield f"+ {name}: {documents} documents"
    for name, documents in found.removed.items():
        yield f"- {name}: had {documents} documents"
    for change in found.changed:
        yield f"~ {change.namespace}: {', '.join(_changes(change))}"
    yield f"{found.same} namespaces are the same"


def _changes(change: NamespaceChange) -> Iterator[str]:
    if change.content:
        same = change.documents[0] == change.documents[1]
        yield "other documents, as many" if same else f"{_grown(change.documents)} documents"
        yield _size(change.bytes)
    for told, what in ((change.type, "another type"), (change.options, "other options")):
        if told:
            yield what
    for names, what in (
        (change.indexes_added, "new"),
        (change.indexes_removed, "gone"),
        (change.indexes_changed, "changed"),
    ):
        if names:
            yield f"indexes {what}: {', '.join(names)}"


def _grown(numbers: tuple[int, int]) -> str:
    return f"{numbers[0]} -> {numbers[1]} ({numbers[1] - numbers[0]:+d})"


def _size(numbers: tuple[int, int]) -> str:
    return f"{megabytes(numbers[0])} -> {megabytes(numbers[1])}"
