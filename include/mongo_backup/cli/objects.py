"""`mongo-backup objects check` and `mongo-backup objects schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mongo_backup.errors import ConfigurationError, ExitCode
from mongo_backup.objects.addon import Addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.kinds import KINDS
from mongo_backup.objects.loader import load_files, object_files
from mongo_backup.objects.object_set import ObjectSet
from mongo_backup.objects.problems import ObjectError
from mongo_backup.objects.retention import RetentionPolicy
from mongo_backup.objects.storage import BackupStorage

app = typer.Typer(help="Check the YAML objects, or print their JSON Schema.", no_args_is_help=True)


@app.command()
def check(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders; all are read as one set.")],
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """Read objects, say what is there and what is wrong. Exit code 10 if anything is."""
    files = [file for path in paths for file in object_files(path)]
    objects = load_files(dict.fromkeys(files), root=_root(paths))
    typer.echo(_as_json(objects) if output == "json" else _as_text(objects, len(set(files))))
    if objects.errors:
        raise typer.Exit(int(ExitCode.CONFIGURATION))


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option(help="Write into this file instead of standard output.")] = None,
) -> None:
    """Print the JSON Schema of all kinds, for editors."""
    from mongo_backup.objects.schema import schema_text

    if output is None:
        typer.echo(schema_text(), nl=False)
        return
    try:
        output.write_text(schema_text(), "utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror}") from None


def _root(paths: list[Path]) -> Path:
    """Errors name files as seen from here: the one folder that was given, else where the command was started."""
    return paths[0] if len(paths) == 1 and paths[0].is_dir() else Path()


def _as_text(objects: ObjectSet, files: int) -> str:
    rows = [("KIND", "NAME", "FILE", "WHAT"), *_rows(objects)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    table = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    ]
    errors = sum(map(len, objects.errors.values()))
    summary = f"{len(rows) - 1} objects in {files} files, {errors} errors"
    return "\n".join([*(table if len(rows) > 1 else []), *filter(None, [objects.error_text()]), summary])


def _as_json(objects: ObjectSet) -> str:
    found = [{"kind": kind, "name": name, "file": file, "what": what} for kind, name, file, what in _rows(objects)]
    errors = [_error(error) for errors in objects.errors.values() for error in errors]
    return json.dumps({"objects": found, "errors": errors}, indent=2)


def _error(error: ObjectError) -> dict[str, Any]:
    return {
        "file": error.file,
        "line": error.line,
        "field": error.field or None,
        "kind": error.kind,
        "name": error.name,
        "message": error.message,
    }


def _rows(objects: ObjectSet) -> list[tuple[str, str, str, str]]:
    return [
        (kind, name, objects.file_of(kind, name), describe(value))
        for kind, model in KINDS.items()
        for name, value in objects.of_kind(model).items()
    ]


def describe(value: KubernetesStyleObject) -> str:
    """An object in a few words, for a table."""
    match value:
        case BackupStorage():
            place = {k: v for k, v in value.spec.model_dump().items() if k in ("bucket", "container", "path", "url")}
            return " ".join([value.spec.provider, *map(str, place.values()), value.spec.prefix]).rstrip()
        case AppBinding():
            shards = f", {len(value.spec.shards)} shards" if value.spec.shards else ""
            return f"{value.spec.topology}{shards}"
        case RetentionPolicy():
            kept = value.spec.model_dump(exclude_defaults=True)
            return ", ".join(f"{rule} {count}" for rule, count in kept.items())
        case BackupConfiguration():
            sessions = (f"{s.name} ({s.schedule or 'by trigger'}, {s.consistency})" for s in value.spec.sessions)
            return f"{value.spec.target.name} -> {value.spec.storage.name}: {', '.join(sessions)}"
        case Addon():
            tasks = ", ".join(f"{task} by {function.engine}" for task, function in value.spec.functions.items())
            return f"MongoDB {value.spec.versions}: {tasks or 'built-in functions'}"
    return ""
