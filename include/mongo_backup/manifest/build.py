"""From what the steps returned to the manifest of the set."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from mongo_backup import __version__
from mongo_backup.agent.contract import BackupRequest, DumpResult, PrepareResult
from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import ComponentRecord, Inventory, Manifest
from mongo_backup.objects.addon import Engine
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember

_WEAKEST_FIRST = (Consistency.NONE, Consistency.SNAPSHOT, Consistency.LOCKED)


def weakest(achieved: Mapping[str, Consistency]) -> Consistency:
    """What a set is as a whole: not more than its weakest component."""
    return min(achieved.values(), key=_WEAKEST_FIRST.index)


def build_manifest(
    *,
    request: BackupRequest,
    inventories: Mapping[str, Inventory],
    finished: datetime,
    restic_version: str,
    agent_image: str | None = None,
) -> Manifest:
    """Put the manifest of a set together.

    :param inventories: by component, as read back from the repository.
    :raises PreconditionError: a component that `prepare` found was not dumped, a dump has no member or inventory, or
        was read under another lock or at another cluster time than the others.
    """
    prepared, dumps = _prepared(request), _dumps(request)
    _check_one_time(request, dumps)
    members = {member.component: member for member in request.members}
    if missing := sorted(set(dumps) - members.keys() | set(dumps) - inventories.keys()):
        raise PreconditionError(f"nothing is known about the member or inventory of {', '.join(missing)}")
    session = request.objects.configuration.session(request.session)
    return Manifest(
        set_id=prepared.set_id,
        configuration=request.objects.configuration.name,
        session=session.name,
        dag_run=request.run.name,
        started=datetime.fromisoformat(prepared.started),
        finished=finished,
        topology=prepared.topology,
        server_version=prepared.server_version,
        fcv=prepared.fcv,
        consistency=weakest({name: dump.consistency for name, dump in dumps.items()}),
        cluster_time=request.lock.cluster_time if request.lock else None,
        lock_skew_seconds=request.lock.skew_seconds if request.lock else None,
        include=session.include,
        exclude=session.exclude,
        components=tuple(_component(dumps[name], members[name], inventories[name]) for name in prepared.components),
        core_version=__version__,
        agent_image=agent_image,
        restic_version=restic_version,
        objects=request.objects.model_dump(mode="json", by_alias=True, exclude_none=True),
    )


def _prepared(request: BackupRequest) -> PrepareResult:
    if request.prepared is None:
        raise PreconditionError("the request has no result of `prepare`: a manifest cannot be made without it")
    if request.set_id not in (None, request.prepared.set_id):
        raise PreconditionError(f"the request is for set {request.set_id}, `prepare` began {request.prepared.set_id}")
    return request.prepared


def _dumps(request: BackupRequest) -> dict[str, DumpResult]:
    dumps = {dump.component: dump for dump in request.dumps}
    wanted = set(_prepared(request).components)
    if wanted != dumps.keys() or len(request.dumps) != len(dumps) or not wanted:
        raise PreconditionError(
            f"dumped: {', '.join(sorted(dumps)) or 'nothing'}; to be dumped: {', '.join(sorted(wanted)) or 'nothing'}: "
            "the set is not complete"
        )
    return dumps


def _check_one_time(request: BackupRequest, dumps: Mapping[str, DumpResult]) -> None:
    """Refuse dumps that were not made under the one lock: a part of a run was made again, with a lock of its own."""
    if request.lock is None:
        return
    held = {each.component: each.at for each in request.lock.held}
    strangers = sorted(
        name
        for name, dump in dumps.items()
        if dump.cluster_time != request.lock.cluster_time or dump.held_at != held.get(name)
    )
    if strangers:
        raise PreconditionError(
            f"{', '.join(strangers)} was not read at {request.lock.cluster_time or 'the time'} of the last lock: "
            "the set would not be one point in time; clear the whole run to back up again"
        )


def _component(dump: DumpResult, member: ChosenMember, inventory: Inventory) -> ComponentRecord:
    return ComponentRecord(
        name=dump.component,
        role=member.role,
        replica_set=member.replica_set,
        member=member,
        engine=cast(Engine, dump.engine),
        consistency=dump.consistency,
        archive_id=dump.archive_id,
        archive_file=dump.archive_file,
        documents=dump.documents,
        bytes=dump.bytes,
        bytes_added=dump.bytes_added,
        seconds=dump.seconds,
        read_seconds=dump.read_seconds,
        locked_seconds=dump.locked_seconds,
        namespaces=inventory.namespaces,
    )
