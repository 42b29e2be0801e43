"""`mongo-backup bootstrap`: from a repository alone back to what is in it and the objects that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS
from mongo_backup.cli.snapshots import damaged
from mongo_backup.cli.source import RepositoryOption, Source
from mongo_backup.cli.tables import megabytes, table
from mongo_backup.errors import ConfigurationError, MongoBackupError

if TYPE_CHECKING:
    from mongo_backup.manifest.catalog import SetEntry
    from mongo_backup.manifest.model import Manifest

_HEAD = ("SET", "SESSION", "TAKEN", "TOPOLOGY", "DOCUMENTS", "SIZE", "VERIFIED")


def bootstrap(
    repository: RepositoryOption = None,
    folder: Annotated[Path, typer.Option("--write", help="Folder for the objects; made if it is not there.")] = Path(
        "bootstrap"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List, write nothing.")] = False,
    limit: Annotated[int, typer.Option(help="Show the newest so many sets.", min=1)] = 20,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """List the sets of a repository of which only address and password are known, and write its objects back.

    The objects are those of the newest set of each session. Secrets are in none of them: they only name Connections.
    """
    from mongo_backup.manifest.objects import as_yaml, documents_of, missing_policies

    where = Source(configuration=None, objects=DEFAULT_OBJECTS, credentials=None, repository=repository)
    read = _read(where, limit)
    found = [(entry, each) for entry, each in read.found if not isinstance(each, MongoBackupError)]
    newest = {manifest.session: manifest for _, manifest in found}
    documents = documents_of(sorted(newest.values(), key=lambda each: each.finished))
    files = {folder / f"{kind.lower()}-{name}.yaml": as_yaml(each) for (kind, name), each in documents.items()}
    if not dry_run:
        _write(files)
    notes = [*damaged(read.found), *_notes(read.location, missing_policies(documents))]
    if output == "json":
        told = {
            "sets": [_fields(entry, manifest) for entry, manifest in found],
            "objects": list(documents.values()),
            "files": [] if dry_run else [str(path) for path in files],
            "notes": notes,
        }
        typer.echo(json.dumps(told, indent=2))
        return
    for line in table([_HEAD, *(tuple(map(str, _fields(*each).values())) for each in found)]):
        typer.echo(line)
    if read.complete > len(read.found):
        typer.echo(f"{read.complete} complete sets; --limit shows more of them")
    for path in files:
        typer.echo(f"{'would write' if dry_run else 'wrote'} {path}")
    for note in notes:
        typer.echo(f"NOTE: {note}")


class _Read(NamedTuple):
    found: list[tuple[SetEntry, Manifest | MongoBackupError]]
    complete: int
    location: str


def _read(where: Source, limit: int) -> _Read:
    """The newest sets, and the newest of each session: to read all of thousands would take hours."""
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifests

    with where.open() as opened:
        complete = SetCatalog.read(opened).complete()
        newest = {each.session: each for each in complete}
        shown = [each for each in complete if each in complete[-limit:] or each in newest.values()]
        return _Read(
            found=read_manifests(opened, shown, archives=False), complete=len(complete), location=opened.location
        )


def _fields(entry: SetEntry, manifest: Manifest) -> dict[str, object]:
    return {
        "set_id": manifest.set_id,
        "session": manifest.session,
        "taken": f"{manifest.started:%F %T}Z",
        "topology": str(manifest.topology),
        "documents": manifest.documents,
        "size": megabytes(manifest.bytes),
        "verdict": entry.verdict or "-",
    }


def _write(files: dict[Path, str]) -> None:
    """Write what is not there; never over something else.

    :raises ConfigurationError: a file is there and says something else, or cannot be written.
    """
    try:
        for path, text in files.items():
            if path.is_symlink() or (path.exists() and path.read_bytes() != text.encode()):
                raise ConfigurationError(
                    f"{path} is there already and says something else: give another --write folder"
                )
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{error.filename} cannot be read or written: {error.strerror}") from None


def _notes(location: str, policies: list[str]) -> list[str]:
    notes = [f"the RetentionPolicy {name} is in no manifest: write it anew, or remove its name" for name in policies]
    notes.append(
        f"the repository is at {location}: see that the BackupStorage leads there, and make the Airflow Connections or "
        "Secrets that the objects name (none of them is in the repository)"
    )
    return notes
