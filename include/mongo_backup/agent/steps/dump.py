"""One component goes into the repository: read at the cluster time, piped into restic, never onto a disk."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from mongo_backup.agent.contract import BackupRequest, DumpResult, Held
from mongo_backup.agent.custody import Custody
from mongo_backup.agent.session import connect, engine_of, open_repository, session_of, set_id_of
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.engines.base import ConfigServer, DumpJob
from mongo_backup.engines.choice import dump_engine
from mongo_backup.errors import ConfigurationError
from mongo_backup.locks.lease import let_go_without_primary
from mongo_backup.locks.target import at_work
from mongo_backup.manifest.model import Inventory
from mongo_backup.manifest.store import archive_file, write_inventory
from mongo_backup.namespaces import Selection
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.topology.model import ChosenMember, ComponentRole

logger = logging.getLogger(__name__)


def dump(request: BackupRequest, credentials: Credentials) -> DumpResult:
    """Dump one component into the repository; its member is let go the moment its last byte is read.

    :raises MongoBackupError: nothing was saved; the member is let go by the DAG's teardown, or here when the step was
        asked to end.
    """
    began = time.monotonic()
    member, set_id = _member(request), set_id_of(request)
    held = _held(request, member)
    engine = dump_engine(engine_of(request), request.objects.addon.spec.function("backup"))
    with ExitStack() as stack:
        connector = stack.enter_context(connect(request, credentials))
        let_go_without_primary(connector, owner=request.run.owner, held=held)
        stack.enter_context(at_work(connector, owner=request.run.owner, set_id=set_id))
        repository = stack.enter_context(open_repository(request, credentials))
        custody = stack.enter_context(
            Custody(
                connector,
                owner=request.run.owner,
                member=member,
                held=held,
                cluster_time=request.lock.cluster_time if request.lock else None,
                longest_seconds=session_of(request).max_lock_time.total_seconds(),
                max_lag_seconds=request.objects.target.spec.members.max_lag_seconds,
            )
        )
        job = _job(request, connector, member)
        logger.info("%s: reading %s at cluster time %s", member.component, member.host, job.cluster_time or "(none)")
        label = Label(set_id=set_id, component=member.component, part="archive", session=request.session)
        file = archive_file(member.component)
        sink = stack.enter_context(BackupSink(repository, label, file))
        records = engine(job, write=custody.checked(sink.write), on_read_complete=custody.read_complete)
        inventory = Inventory(component=member.component, namespaces=records)
        with ThreadPoolExecutor(max_workers=1) as pool:  # beside the archive's last upload
            saving = pool.submit(
                write_inventory, repository, set_id=set_id, session=request.session, inventory=inventory
            )
            summary = sink.finish()
            inventory_id = saving.result()
        seconds = time.monotonic() - began
        result = DumpResult(
            component=member.component,
            archive_id=summary.snapshot_id,
            inventory_id=inventory_id,
            archive_file=file,
            engine=engine_of(request),
            consistency=custody.consistency,
            documents=sum(record.documents for record in records),
            bytes=sink.bytes_written,
            bytes_added=summary.data_added,
            collections=sum(1 for record in records if record.type == "collection"),
            seconds=round(seconds, 3),
            read_seconds=round((custody.read_until or time.monotonic()) - began, 3),
            locked_seconds=custody.locked_seconds,
            cluster_time=job.cluster_time,
            held_at=held.at if held else None,
        )
    _tell(result)
    return result


def _member(request: BackupRequest) -> ChosenMember:
    found = next((each for each in request.members if each.component == request.component), None)
    if found is None:
        raise ConfigurationError(f"the request names component {request.component}, for which no member was chosen")
    return found


def _held(request: BackupRequest, member: ChosenMember) -> Held | None:
    held = request.lock.held if request.lock else ()
    return next((each for each in held if each.component == member.component), None)


def _job(request: BackupRequest, connector: Connector, member: ChosenMember) -> DumpJob:
    session, held = session_of(request), _held(request, member)
    cluster_time = request.lock.cluster_time if request.lock else None
    return DumpJob(
        client=connector.member(member.host),
        host=member.host,
        component=member.component,
        selection=Selection(role=member.role, include=session.include, exclude=session.exclude),
        cluster_time=cluster_time,
        expected_catalog=held.catalog if held and cluster_time else None,
        config_server=_config_server(request, connector) if member.role is ComponentRole.SHARD else None,
        connection=connector.options(),
        threads=request.objects.addon.spec.function("backup").threads,
    )


def _config_server(request: BackupRequest, connector: Connector) -> ConfigServer | None:
    """The config server's chosen member, which is held at the cluster time too."""
    host = next((each.host for each in request.members if each.role is ComponentRole.CONFIG), None)
    return ConfigServer(client=connector.member(host), host=host) if host else None


def _tell(result: DumpResult) -> None:
    speed = result.bytes / 1e6 / max(result.read_seconds, 0.001)
    locked = f", locked for {result.locked_seconds:.1f} s" if result.locked_seconds is not None else ""
    logger.info(
        "%s: %d collections, %d documents, %.1f MB in %.1f s (%.0f MB/s while reading)%s; %.1f MB were new",
        *(result.component, result.collections, result.documents, result.bytes / 1e6, result.seconds, speed, locked),
        result.bytes_added / 1e6,
    )
