"""`mongo-backup verify`: restore a set into a throw-away MongoDB on this machine and compare, without Airflow."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mongo_backup.cli.common import DEFAULT_OBJECTS, CredentialsOption, ObjectsOption
from mongo_backup.cli.progress import progress_bars
from mongo_backup.cli.source import SET_HELP, ConfigurationArgument, CopyOption, RepositoryOption, Source
from mongo_backup.cli.tables import megabytes

if TYPE_CHECKING:
    from mongo_backup.manifest.model import Manifest
    from mongo_backup.objects.resolved import Objects


def verify(
    configuration: ConfigurationArgument = None,
    objects: ObjectsOption = DEFAULT_OBJECTS,
    credentials: CredentialsOption = None,
    repository: RepositoryOption = None,
    copy: CopyOption = None,
    set_id: Annotated[str, typer.Option("--set", help=SET_HELP)] = "latest",
    mongod: Annotated[str | None, typer.Option(help="The server's program; none: as configured, else on PATH.")] = None,
    folder: Annotated[str | None, typer.Option(help="Where its data lie meanwhile.")] = None,
    output: Annotated[Literal["table", "json"], typer.Option(help="How to print.")] = "table",
) -> None:
    """Restore a set into a throw-away MongoDB, compare it, run the configured checks, record the verdict.

    Exit code 14: the set is not what its manifest says, or a check failed.
    """
    from mongo_backup.agent.contract import FinishResult, RunIdentity
    from mongo_backup.agent.registry import find_step
    from mongo_backup.agent.verify_contract import ChooseResult, VerificationResult, VerifyParameters, VerifyRequest
    from mongo_backup.manifest.catalog import SetCatalog
    from mongo_backup.manifest.store import read_manifest
    from mongo_backup.model import Model

    where = Source(
        configuration=configuration, objects=objects, credentials=credentials, repository=repository, copy=copy
    )
    with where.open() as opened:
        manifest = read_manifest(opened, SetCatalog.read(opened).find(set_id))
    found, known = where.resolve(manifest)
    found = _with_settings(found, mongod=mongod, folder=folder)
    run = RunIdentity(dag_id=f"verify.{found.configuration.name}", run_id=f"command__{uuid.uuid4().hex[:12]}")

    def step(name: str, **more: Any) -> Model:
        parameters = VerifyParameters(snapshot=manifest.set_id)
        request = VerifyRequest(run=run, objects=found, parameters=parameters, **more)
        return find_step(f"verify.{name}").call()(request, known)

    try:
        chosen = ChooseResult.model_validate(step("choose_set").model_dump())
        with progress_bars(_totals(manifest), doing="restoring"):
            result = VerificationResult.model_validate(step("restore_and_compare", chosen=chosen).model_dump())
    finally:
        FinishResult.model_validate(step("finish").model_dump())
    if output == "json":
        typer.echo(result.model_dump_json(indent=2))
        return
    typer.echo(
        f"Set {result.set_id} is verified: {result.namespaces} namespaces, {result.documents} documents "
        f"({megabytes(result.bytes)}), {result.digests} digests, {result.indexes} indexes, {result.checks} checks, "
        f"in {result.seconds:.1f} s with MongoDB {result.server_version}"
    )


def _with_settings(objects: Objects, **changes: str | None) -> Objects:
    """What the command line says wins over the configuration; here no other container holds a server."""
    from mongo_backup.objects.verification import VerificationSettings

    configuration = objects.configuration
    settings = configuration.spec.verification or VerificationSettings()
    wanted = {name: value for name, value in changes.items() if value is not None}
    changed = settings.model_copy(update={"session": None, **wanted})
    spec = configuration.spec.model_copy(update={"verification": changed})
    return objects.model_copy(update={"configuration": configuration.model_copy(update={"spec": spec})})


def _totals(manifest: Manifest) -> dict[str, int]:
    return {each.name: sum(record.bytes for record in each.namespaces) for each in manifest.components}
