"""`mongo-backup retention`: which sets a policy keeps, marks on sets, and retention without Airflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_credentials, load_objects
from mongo_backup.cli.source import CopyOption, resolve

if TYPE_CHECKING:
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.objects.resolved import Objects
    from mongo_backup.repository.restic import Repository
    from mongo_backup.retention.policy import RetentionPlan

app = typer.Typer(help="Which snapshots are kept: plan, apply, pin.", no_args_is_help=True)

ConfigurationArgument = Annotated[str, typer.Argument(help="Name of the BackupConfiguration.")]
SessionOption = Annotated[str | None, typer.Option(help="Only this session; none: all, each by its own policy.")]
SetArgument = Annotated[str, typer.Argument(help="Id of the set.", metavar="SET")]
OutputOption = Annotated[Literal["table", "json"], typer.Option(help="How to print.")]


@app.command()
def plan(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    session: SessionOption = None,
    output: OutputOption = "table",
) -> None:
    """Show which sets the policies keep and why, and which they would forget. Touches nothing."""
    _retain(configuration, objects, credentials, copy, session, output, apply=False)


@app.command(name="apply")
def apply_(
    configuration: ConfigurationArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    session: SessionOption = None,
    output: OutputOption = "table",
) -> None:
    """Forget what the policies do not keep, as `apply_retention` does. Data go with the next prune."""
    _retain(configuration, objects, credentials, copy, session, output, apply=True)


@app.command()
def pin(
    configuration: ConfigurationArgument,
    set_id: SetArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
) -> None:
    """Keep a set whatever any policy says; also what a failed backup left, for diagnosis."""
    from mongo_backup.retention.policy import PINNED

    _mark(configuration, set_id, objects, credentials, copy, word=PINNED, reason=reason)


@app.command()
def unpin(
    configuration: ConfigurationArgument,
    set_id: SetArgument,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
) -> None:
    """Let the policies judge a set again."""
    from mongo_backup.retention.policy import PINNED

    _unmark(configuration, set_id, objects, credentials, copy, word=PINNED)


@app.command()
def mark(
    configuration: ConfigurationArgument,
    set_id: SetArgument,
    word: Annotated[str, typer.Argument(help="A word that a RetentionPolicy's `marks` names, such as `audit`.")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
    reason: Annotated[str, typer.Option(help="Why, for people.")] = "",
) -> None:
    """Mark a set by a word: policies that name it keep the set."""
    _mark(configuration, set_id, objects, credentials, copy, word=_word(word), reason=reason)


@app.command()
def unmark(
    configuration: ConfigurationArgument,
    set_id: SetArgument,
    word: Annotated[str, typer.Argument(help="The word.")],
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    copy: CopyOption = None,
) -> None:
    """Take a mark off a set."""
    _unmark(configuration, set_id, objects, credentials, copy, word=_word(word))


def _retain(
    configuration: str,
    objects: Path,
    credentials: Path | None,
    copy: str | None,
    session: str | None,
    output: str,
    *,
    apply: bool,
) -> None:
    from mongo_backup.retention.apply import apply_plan, plan_for
    from mongo_backup.retention.policy import plan_words

    loaded = load_objects(objects)
    sessions = loaded.configuration(configuration).spec.sessions
    with_copy = [each.name for each in sessions if copy is None or copy in {one.name for one in each.copies}]
    names = [session] if session else with_copy or [sessions[0].name]
    resolved = {name: resolve(objects, configuration, copy=copy, session=name) for name in names}
    plans: dict[str, RetentionPlan] = {}
    with _opened(resolved[names[0]], credentials) as (repository, catalog):
        for name, one in resolved.items():
            plans[name] = plan_for(catalog, one.retention.spec if one.retention else None, session=name)
        gone = {name: apply_plan(repository, catalog, found) for name, found in plans.items() if apply}
    if output == "json":
        typer.echo(json.dumps({name: found.model_dump(mode="json") for name, found in plans.items()}, indent=2))
        return
    for name, found in plans.items():
        policy = resolved[name].retention
        typer.echo(f"session {name}, {f'policy {policy.name}' if policy else 'no policy: everything is kept'}:")
        for line in plan_words(found):
            typer.echo(f"  {line}")
        going = f"{len(gone[name])} forgotten" if apply else f"{len(found.forgotten)} to be forgotten"
        left = len(found.forgotten) - len(gone[name]) if apply else 0
        refused = f", {left} more that the store does not let go" if left else ""
        typer.echo(f"  {len(found.kept)} kept, {going}{refused}")


def _mark(
    configuration: str,
    set_id: str,
    objects: Path,
    credentials: Path | None,
    copy: str | None,
    *,
    word: str,
    reason: str,
) -> None:
    from mongo_backup.retention.marks import add_mark, any_set

    with _opened(resolve(objects, configuration, copy=copy), credentials) as (repository, catalog):
        new = add_mark(repository, any_set(catalog, set_id), word, reason=reason)
    typer.echo(f"set {set_id} is {word}" if new else f"set {set_id} was {word} already")


def _unmark(
    configuration: str, set_id: str, objects: Path, credentials: Path | None, copy: str | None, *, word: str
) -> None:
    from mongo_backup.retention.marks import any_set, remove_mark

    with _opened(resolve(objects, configuration, copy=copy), credentials) as (repository, catalog):
        had = remove_mark(repository, any_set(catalog, set_id), word)
    typer.echo(f"set {set_id} is no longer {word}" if had else f"set {set_id} was not {word}")


def _word(word: str) -> str:
    """Check a mark.

    :raises ConfigurationError: no policy could name it.
    """
    from pydantic import TypeAdapter, ValidationError

    from mongo_backup.errors import ConfigurationError
    from mongo_backup.objects.base import Name

    try:
        return str(TypeAdapter(Name).validate_python(word))
    except ValidationError:
        raise ConfigurationError(f"{word!r} is no mark: write small letters, digits, `-` and `_`") from None


@contextmanager
def _opened(resolved: Objects, credentials: Path | None) -> Iterator[tuple[Repository, SetCatalog]]:
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.repository.restic import Repository

    with Repository.of(
        configuration=resolved.configuration, storage=resolved.storage, credentials=load_credentials(credentials)
    ) as repository:
        yield repository, SetCatalog.read(repository)
