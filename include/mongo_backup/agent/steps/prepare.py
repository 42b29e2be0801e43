"""Everything that can be checked is checked here, before anything is touched."""

from __future__ import annotations

import hashlib
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from mongo_backup import clock
from mongo_backup.agent.contract import BackupRequest, PrepareResult
from mongo_backup.agent.session import connect, engine_of, open_repository, session_of
from mongo_backup.credentials import Credentials
from mongo_backup.engines.choice import check_engine
from mongo_backup.errors import ConfigurationError, MongoBackupError
from mongo_backup.locks.release import release
from mongo_backup.locks.target import occupy
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.store import read_manifest
from mongo_backup.objects.addon import Addon
from mongo_backup.repository.restic import Repository
from mongo_backup.topology.check import check
from mongo_backup.topology.discover import discover
from mongo_backup.topology.model import Topology
from mongo_backup.topology.preflight import preflight

logger = logging.getLogger(__name__)


def new_set_id(owner: str, now: datetime) -> str:
    """A name for a set: when it began, and eight digits that no other has. It sorts by time."""
    digest = hashlib.sha256(f"{owner} {secrets.token_hex(8)}".encode()).hexdigest()[:8]
    return f"{now:%Y%m%dT%H%M%SZ}-{digest}"


def prepare(request: BackupRequest, credentials: Credentials) -> PrepareResult:
    """Check objects, credentials, privileges, topology, versions, locks of others and the repository.

    What an earlier run left behind, its lease long over, is undone first. When all is well the target is taken.

    :raises ConfigurationError: something declared is wrong.
    :raises TargetBusyError: another run is at work on the target.
    :raises PreconditionError: the target or the store is not in a state for a backup; nothing was touched.
    """
    started = clock.now()
    session = session_of(request)
    check_engine(engine_of(request))
    with connect(request, credentials) as connector:
        topology = discover(connector)
        check(request.objects.target, topology)
        _check_addon(request.objects.addon, topology)
        _describe(topology)
        for words in release(connector, expired_only=True, tolerant=True):
            logger.warning("Left behind by an earlier run and undone now: %s", words)
        found = preflight(
            connector,
            topology,
            owner=request.run.owner,
            consistency=session.consistency,
            max_lock_time=session.max_lock_time,
        )
        with open_repository(request, credentials) as repository:
            opened = repository.ensure()
            with ThreadPoolExecutor(max_workers=1) as pool:  # each takes restic a second
                last = pool.submit(_last_members, repository)
                repository.unlock_stale()  # of runs that were killed or lost the store: a prune would stumble over them
            logger.info(
                "Repository %s answers and takes the password (restic %s)", repository.location, repository.version
            )
        set_id = new_set_id(request.run.owner, started)
        occupy(connector, owner=request.run.owner, set_id=set_id)
    logger.info("This backup is the set %s", set_id)
    return PrepareResult(
        set_id=set_id,
        started=started.isoformat(timespec="milliseconds"),
        topology=topology.kind,
        components=tuple(component.name for component in topology.components),
        server_version=topology.server_version,
        fcv=topology.fcv,
        cluster_time_supported=found.cluster_time_supported,
        repository_created=opened.created,
        last_members=last.result(),
    )


def _check_addon(addon: Addon, topology: Topology) -> None:
    if not addon.spec.fits(topology.server_version):
        raise ConfigurationError(
            f"Addon {addon.name} is for MongoDB {addon.spec.versions}, and the server is {topology.server_version}:"
            " name another addon in the BackupConfiguration, or widen its `versions`"
        )


def _last_members(repository: Repository) -> dict[str, str]:
    """The member that each component was read from last; nothing where that is not known. It is a preference only."""
    try:
        newest = SetCatalog.read(repository).complete()[-1:]
        return {each.name: each.member.host for entry in newest for each in read_manifest(repository, entry).components}
    except MongoBackupError as error:
        logger.warning("Which members were read last is not known: %s", error)
        return {}


def _describe(topology: Topology) -> None:
    names = ", ".join(f"{each.name} ({len(each.members)} members)" for each in topology.components)
    logger.info("Found %s with MongoDB %s, FCV %s: %s", topology.kind, topology.server_version, topology.fcv, names)
