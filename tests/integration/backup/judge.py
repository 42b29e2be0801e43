"""The judge that every failure ends with: nothing locked, the balancer as it was, an empty journal, no set."""

from __future__ import annotations

from mongo_backup.agent.contract import Objects
from mongo_backup.balancer import Balancer
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal
from mongo_backup.locks.fsync import is_locked
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.repository.records import Snapshot
from mongo_backup.repository.restic import Repository
from sandbox.deployment import Deployment


def nothing_is_held(
    deployment: Deployment, objects: Objects, credentials: Credentials, *, balancer: str = "full"
) -> None:
    """Fail unless no running member is locked, the balancer is in this mode and the journal is empty."""
    with Connector(binding=objects.target, credentials=credentials) as connector:
        hosts = [m.host for c in deployment.components.values() for m in c.mongods if m.running]
        assert hosts
        assert [host for host in hosts if is_locked(connector, host)] == []
        assert Journal(connector).entries() == ()
        if objects.target.spec.topology is TopologyKind.SHARDED:
            assert Balancer(connector).status().mode == balancer


def snapshots(objects: Objects, credentials: Credentials) -> tuple[Snapshot, ...]:
    """Every snapshot in the configuration's repository; none where there is no repository."""
    with Repository.of(
        configuration=objects.configuration, storage=objects.storage, credentials=credentials
    ) as repository:
        return repository.snapshots() if repository.exists() else ()
