"""The one judge of every failure: what may be left of it on the target and in the repository, which is nothing."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter

from mongo_backup.archive.reader import Block, read_archive
from mongo_backup.balancer import Balancer
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.digest import DocumentDigest
from mongo_backup.errors import MongoBackupError
from mongo_backup.journal import Journal
from mongo_backup.locks.fsync import is_locked
from mongo_backup.locks.window import read_window
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import ComponentRecord
from mongo_backup.manifest.store import read_manifest
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.resolved import Objects
from mongo_backup.repository.read import SnapshotReader
from mongo_backup.repository.records import Snapshot
from mongo_backup.repository.restic import Repository
from sandbox.deployment import Deployment

logger = logging.getLogger(__name__)

BULK = "bulk"
"""Databases whose name begins so are compared by `data_of`, and the others too."""


@dataclass(frozen=True)
class Marks:
    """What a backup or restore must leave as it was."""

    windows: Mapping[str, int]
    """Each running member's `minSnapshotHistoryWindowInSeconds`."""
    balancer: str | None
    """Its mode; None: there is none."""


def read_marks(deployment: Deployment, objects: Objects, credentials: Credentials) -> Marks:
    """Read them now."""
    with Connector(binding=objects.target, credentials=credentials) as connector:
        sharded = objects.target.spec.topology is TopologyKind.SHARDED
        return Marks(
            windows={host: read_window(connector, host) for host in _running(deployment)},
            balancer=Balancer(connector).status().mode if sharded else None,
        )


def _running(deployment: Deployment) -> list[str]:
    return [member.host for each in deployment.components.values() for member in each.mongods if member.running]


def what_is_left(deployment: Deployment, objects: Objects, credentials: Credentials, before: Marks) -> list[str]:
    """What is on the target that was not: locks, journal entries, a balancer or parameters that are not as before."""
    left: list[str] = []
    with Connector(binding=objects.target, credentials=credentials) as connector:
        left += [f"{host} is locked" for host in _running(deployment) if is_locked(connector, host)]
        left += [f"in the journal: {entry}" for entry in Journal(connector).entries()]
    now = read_marks(deployment, objects, credentials)
    if now.balancer != before.balancer:
        left.append(f"the balancer is {now.balancer} and was {before.balancer}")
    for host, seconds in now.windows.items():
        if seconds != before.windows.get(host, seconds):
            left.append(f"{host} keeps history for {seconds} s and did for {before.windows[host]} s")
    return left


def nothing_is_held(
    deployment: Deployment, objects: Objects, credentials: Credentials, *, balancer: str = "full"
) -> None:
    """Fail unless no running member is locked, the balancer is in this mode and the journal is empty."""
    assert _running(deployment)
    sharded = objects.target.spec.topology is TopologyKind.SHARDED
    before = Marks(windows={}, balancer=balancer if sharded else None)
    assert what_is_left(deployment, objects, credentials, before) == []


def snapshots(objects: Objects, credentials: Credentials) -> tuple[Snapshot, ...]:
    """Every snapshot in the configuration's repository; none where there is no repository."""
    with open_repository(objects, credentials) as repository:
        return repository.snapshots() if repository.exists() else ()


def open_repository(objects: Objects, credentials: Credentials) -> Repository:
    """The configuration's repository; use as a context manager."""
    return Repository.of(configuration=objects.configuration, storage=objects.storage, credentials=credentials)


def complete_sets(objects: Objects, credentials: Credentials) -> tuple[str, ...]:
    """Ids of the sets that a restore would take, oldest first."""
    with open_repository(objects, credentials) as repository:
        return tuple(each.set_id for each in SetCatalog.read(repository).complete())


def restic_locks(objects: Objects, credentials: Credentials) -> list[str]:
    """Locks on the repository."""
    with open_repository(objects, credentials) as repository:
        return list(repository.locks())


class _Lock(BaseModel):
    """What the judge needs of restic's `cat lock`."""

    time: datetime
    hostname: str
    pid: int


def lock_left(repository: Repository, lock: str) -> str | None:
    """What to say of a dead run's lock that is left; None where its process id is somebody else's by now.

    restic asks for the id alone, and takes such a lock for a living one until it is 30 minutes old:
    https://github.com/restic/restic/blob/v0.14.0/internal/restic/lock.go (`Stale`). Ids come round in minutes where
    much is started and the kernel counts to 32768.
    """
    try:
        owner = repository.ask(TypeAdapter(_Lock), "reading a lock", "cat", "lock", lock, "--no-lock")
    except MongoBackupError as error:
        return f"restic lock {lock[:8]} is left and cannot be read: {error}"
    if _taken(owner.pid):
        logger.warning("restic lock %s is left: its process id %d is somebody else's by now", lock[:8], owner.pid)
        return None
    return f"restic lock {lock[:8]} of process {owner.pid} on {owner.hostname} at {owner.time:%H:%M:%S} is left"


def _taken(pid: int) -> bool:
    """Whether the id is a process's or a thread's, which is what restic asks."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def unreadable(objects: Objects, credentials: Credentials, set_id: str) -> list[str]:
    """Read a whole set: what of it is not as its manifest says."""
    wrong: list[str] = []
    with open_repository(objects, credentials) as repository:
        manifest = read_manifest(repository, SetCatalog.read(repository).find(set_id))
        for component in manifest.components:
            wrong += _differences(repository, component)
    return wrong


def _differences(repository: Repository, component: ComponentRecord) -> list[str]:
    digests: dict[str, DocumentDigest] = defaultdict(DocumentDigest)
    with SnapshotReader(repository, component.archive_id, component.archive_file) as source:
        for event in read_archive(source):
            if isinstance(event, Block):
                digests[f"{event.db}.{event.collection}"].add(event.documents)
    return [
        f"{component.name}: {record.namespace} is not what the manifest says"
        for record in component.namespaces
        if (digests[record.namespace].documents, digests[record.namespace].hexdigest())
        != (record.documents, record.digest)
    ]


def data_of(deployment: Deployment) -> dict[str, Any]:
    """What the data of all components are, in short: the server's own hash of each collection of each database."""
    found: dict[str, Any] = {}
    for name in deployment.components:
        client = deployment.admin_client(name)
        for database in sorted(set(client.list_database_names()) - {"admin", "config", "local"}):
            found[f"{name}.{database}"] = client[database].command("dbHash")["collections"]
    return found
