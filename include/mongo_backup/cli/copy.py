"""`mongo-backup repository copy`: bring a configuration's copies up to date, without Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials, load_objects
from mongo_backup.cli.source import CopyOption
from mongo_backup.cli.tables import megabytes, table
from mongo_backup.errors import ConfigurationError

if TYPE_CHECKING:
    from mongo_backup.copies.plan import CopyPlan
    from mongo_backup.copies.run import CopyDone
    from mongo_backup.credentials import Credentials
    from mongo_backup.objects.resolved import CopyObjects, Objects
    from mongo_backup.repository.restic import Repository

_HEAD = ("SESSION", "COPY", "SET", "COMPLETE SINCE", "WHAT")


def copy(
    configuration: Annotated[str, typer.Argument(help="Name of the BackupConfiguration.")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    session: Annotated[str | None, typer.Option(help="Only the sets of this session.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; touch nothing.")] = False,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """Copy the complete sets that a copy misses, then forget what its policy does not keep. Again: only the rest."""
    from mongo_backup.copies.run import copy_sets

    known, told = load_credentials(credentials), []
    for name, resolved, one in _copies(objects, configuration, copy, session):
        with _both(resolved, one, known) as (source, target):
            plan = _plan(source, target, one, name)
            done = None
            if not dry_run:
                timeout = one.settings.timeout.total_seconds()
                done = copy_sets(source, target, one.policy, session=name, timeout=timeout)
        told.append((name, one.settings.name, plan, done))
    if output == "json":
        typer.echo(json.dumps([_fields(*each) for each in told], indent=2))
        return
    for line in table([_HEAD, *(row for each in told for row in _rows(*each))]):
        typer.echo(line)
    for name, whose, plan, done in told:
        typer.echo(_summary(name, whose, plan, done))


def _copies(
    folder: Path, configuration: str, copy: str | None, session: str | None
) -> Iterator[tuple[str, Objects, CopyObjects]]:
    """The copies that are meant, with their session and its objects.

    :raises ConfigurationError: there is none.
    """
    loaded = load_objects(folder)
    sessions = [each.name for each in loaded.configuration(configuration).spec.sessions]
    resolved = {name: loaded.resolve(configuration, name) for name in ([session] if session else sessions)}
    found = [
        (name, each, one) for name, each in resolved.items() for one in each.copies if copy in (None, one.settings.name)
    ]
    if not found:
        there = sorted({one.settings.name for name in sessions for one in loaded.resolve(configuration, name).copies})
        raise ConfigurationError(
            f"BackupConfiguration {configuration!r} has no such copy; these exist: {', '.join(there) or 'none'} "
            "(`copies` of a session)"
        )
    yield from found


@contextmanager
def _both(resolved: Objects, one: CopyObjects, known: Credentials) -> Iterator[tuple[Repository, Repository]]:
    from mongo_backup.repository.restic import Repository

    copied = resolved.of_copy(one.settings.name)
    with (
        Repository.of(configuration=resolved.configuration, storage=resolved.storage, credentials=known) as source,
        Repository.of(configuration=copied.configuration, storage=copied.storage, credentials=known) as target,
    ):
        yield source, target


def _plan(source: Repository, target: Repository, one: CopyObjects, session: str) -> CopyPlan:
    from mongo_backup.copies.run import look

    return look(source, target, one.policy, session=session, there=target.exists())


def _rows(session: str, copy: str, plan: CopyPlan, done: CopyDone | None) -> Iterator[tuple[str, ...]]:
    for each in plan.wanted:
        what = "copied" if done else "to be copied"
        broken = " (it is not in the copy what it is in the source)" if each.set_id in plan.broken else ""
        yield session, copy, each.set_id, f"{each.time:%F %T}Z", f"{what}{broken}"
    for names, what in (
        (plan.there, "is there"),
        (plan.passed_over, "not copied: the copy's policy would not keep it"),
        (plan.failed, "not copied: a verification found it wrong"),
        (plan.forgotten, _gone(done)),
    ):
        for name in names:
            refused = done is not None and name in done.refused
            yield session, copy, name, "", "the store does not let it go" if refused else what


def _gone(done: CopyDone | None) -> str:
    return "forgotten" if done else "to be forgotten"


def _summary(session: str, copy: str, plan: CopyPlan, done: CopyDone | None) -> str:
    if done is None:
        return f"session {session}, copy {copy}: {len(plan.wanted)} sets to be copied. Nothing was touched (--dry-run)."
    return (
        f"session {session}, copy {copy}: {len(done.copied)} sets copied ({megabytes(done.bytes)} of archives), "
        f"{len(done.forgotten)} forgotten, {done.sets} in the copy, in {done.seconds:.1f} s"
    )


def _fields(session: str, copy: str, plan: CopyPlan, done: CopyDone | None) -> dict[str, Any]:
    return {
        "session": session,
        "copy": copy,
        "plan": {
            "wanted": [each.set_id for each in plan.wanted],
            **plan.model_dump(mode="json", exclude={"wanted"}),
        },
        "done": done.model_dump(mode="json") if done else None,
    }
