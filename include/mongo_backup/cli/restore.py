"""`mongo-backup restore`: all steps of a restore, without Airflow."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption, load_objects
from mongo_backup.cli.progress import progress_bars
from mongo_backup.cli.source import SET_HELP, ConfigurationArgument, CopyOption, RepositoryOption, Source
from mongo_backup.cli.tables import megabytes
from mongo_backup.errors import ConfigurationError

if TYPE_CHECKING:
    from mongo_backup.agent.restore_contract import RestoreParameters, VerifyResult
    from mongo_backup.agent.whole_restore import WholeRestore
    from mongo_backup.credentials import Credentials
    from mongo_backup.objects.app_binding import AppBinding

URI_VARIABLE = "MONGO_BACKUP_TARGET_URI"
_TARGET = "restore-target"
Words = list[str] | None


def restore(
    configuration: ConfigurationArgument = None,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    repository: RepositoryOption = None,
    copy: CopyOption = None,
    set_id: Annotated[str, typer.Option("--set", help=SET_HELP)] = "latest",
    target: Annotated[
        str | None, typer.Option(help="Name of the AppBinding to restore into; none: where the backup came from.")
    ] = None,
    target_uri_file: Annotated[
        Path | None,
        typer.Option(
            help=f"A file with the target's mongodb:// connection string; or set {URI_VARIABLE}. Any member or mongos."
        ),
    ] = None,
    existing: Annotated[
        Literal["refuse", "drop", "merge"], typer.Option(help="What to do with namespaces that exist there.")
    ] = "refuse",
    users: Annotated[Literal["skip", "merge", "replace"], typer.Option(help="Users and roles.")] = "skip",
    include: Annotated[Words, typer.Option(help="Only these namespaces, such as shop.orders, shop.*.")] = None,
    exclude: Annotated[Words, typer.Option(help="Not these namespaces.")] = None,
    rename: Annotated[Words, typer.Option(help="OLD=NEW, such as shop.orders=shop.old, shop.*=old.*.")] = None,
    shard_map: Annotated[Words, typer.Option(help="OLD=NEW names of shards.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; touch nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before data are dropped.")] = False,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """Restore a set: plan, drop, restore, build indexes, compare with the manifest.

    Needs nothing but the repository's address and password and the target: no Airflow, no objects.
    """
    where = Source(
        configuration=configuration, objects=objects, credentials=credentials, repository=repository, copy=copy
    )
    binding, login = _target(target, target_uri_file, objects)
    parameters = _parameters(
        snapshot=set_id,
        target=binding.name if binding else None,
        existing=existing,
        users=users,
        include=include or (),
        exclude=exclude or (),
        rename=_pairs(rename, "--rename"),
        shard_map=_pairs(shard_map, "--shard-map"),
    )
    job, sizes = _job(where, parameters, binding, login)
    try:
        plan = job.make_plan()
        if output == "table":
            for line in (*plan.words, *(f"WARNING: {each}" for each in plan.warnings)):
                typer.echo(line)
        if dry_run:
            typer.echo(plan.model_dump_json(indent=2) if output == "json" else "Nothing was touched (--dry-run).")
            return
        _confirm(plan.dropped, yes=yes)
        with progress_bars({plan.components[name]: size for name, size in sizes.items()}, doing="restoring"):
            verified = job.run()
    finally:
        job.finish()  # the plan holds the target
    _tell(job, verified, output)


def _parameters(**given: Any) -> RestoreParameters:
    from pydantic import ValidationError

    from mongo_backup.agent.restore_contract import RestoreParameters

    try:
        return RestoreParameters.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))} {e['msg']}".strip() for e in error.errors())
        raise ConfigurationError(f"the options cannot be: {problems}") from None


def _job(
    where: Source, parameters: RestoreParameters, binding: AppBinding | None, login: Credentials | None
) -> tuple[WholeRestore, dict[str, int]]:
    """Find the set and its objects; from here on only its id counts, so that `latest` stays what it is.

    :returns: the restore, and the bytes of each component's documents.
    """
    from mongo_backup.agent.whole_restore import WholeRestore
    from mongo_backup.credentials import Credentials
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifest

    with where.open() as repository:
        manifest = read_manifest(repository, SetCatalog.read(repository).find(parameters.snapshot))
    found, known = where.resolve(manifest)
    job = WholeRestore(
        objects=found,
        credentials=Credentials(values={**known.values, **(login.values if login else {})}),
        parameters=parameters.model_copy(update={"snapshot": manifest.set_id}),
        target=binding,
    )
    return job, {each.name: sum(record.bytes for record in each.namespaces) for each in manifest.components}


def _target(name: str | None, uri_file: Path | None, objects: Path) -> tuple[AppBinding | None, Credentials | None]:
    """The deployment to restore into, and its login where it stands in the connection string."""
    uri = _uri(uri_file)
    if name is not None and uri is not None:
        raise ConfigurationError(f"the target is named twice: by --target, and by its URI ({URI_VARIABLE} or file)")
    if uri is not None:
        from mongo_backup.topology.binding import target_from_uri

        return target_from_uri(uri, _TARGET)
    if name is None:
        return None, None
    from mongo_backup.objects.object_set import exists

    bindings = load_objects(objects).app_bindings
    if name not in bindings:
        raise ConfigurationError(f"there is no AppBinding {name!r}; {exists(bindings, name)}")
    return bindings[name], None


def _uri(file: Path | None) -> str | None:
    from mongo_backup import logs
    from mongo_backup.cli.discover import secrets_in

    try:
        found = file.read_text("utf-8").strip() if file else os.environ.get(URI_VARIABLE)
    except OSError as error:
        raise ConfigurationError(f"--target-uri-file: {file} cannot be read: {error.strerror}") from None
    if found:
        logs.hide(secrets_in(found))
    return found or None


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in given or ()]
    if wrong := next((old for old, sign, new in pairs if not (old and sign and new)), None):
        raise ConfigurationError(f"{option} {wrong}: write OLD=NEW")
    return {old: new for old, _, new in pairs}


def _confirm(dropped: int, *, yes: bool) -> None:
    if not dropped or yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{dropped} namespaces of the target would be dropped: say --yes if that is meant")
    if not typer.confirm(f"{dropped} namespaces of the target will be dropped. Go on?"):
        raise ConfigurationError("nothing was touched: somebody said no")


def _tell(job: WholeRestore, verified: VerifyResult, output: str) -> None:
    if output == "json":
        told = {
            "set_id": job.plan.set_id if job.plan else None,
            "restored": [each.model_dump(mode="json") for each in job.restored],
            "verified": verified.model_dump(mode="json"),
        }
        typer.echo(json.dumps(told, indent=2))
        return
    documents, size = sum(each.documents for each in job.restored), sum(each.bytes for each in job.restored)
    typer.echo(f"Restored: {documents} documents, {megabytes(size)}")
    typer.echo(
        f"Equal to the manifest: {verified.namespaces} namespaces, {verified.documents} documents, "
        f"{verified.digests} digests"
    )
