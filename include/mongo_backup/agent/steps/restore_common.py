"""What the restore steps open first: the set, the target, and a client to each primary."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property

from mongo_backup.agent.restore_contract import RestoreRequest
from mongo_backup.balancer import require_stopped
from mongo_backup.connection import Client, Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.locks.target import RESTORE_LEASE_SECONDS, at_work, refuse_others
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import ComponentRecord, Manifest
from mongo_backup.manifest.store import MANIFEST_FILE, decode_manifest, read_manifest, require_archives
from mongo_backup.memory import return_large_pieces
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.repository.read import SnapshotReader, read_file
from mongo_backup.repository.restic import Repository
from mongo_backup.restore.checks import check_primary
from mongo_backup.restore.drop import ShardedTarget
from mongo_backup.restore.mapping import map_components
from mongo_backup.restore.plan import selected
from mongo_backup.restore.routing import Routing, read_routing
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.topology.check import check
from mongo_backup.topology.discover import discover
from mongo_backup.topology.model import Component, ComponentRole, Topology


@dataclass(frozen=True, kw_only=True)
class Target:
    """One component of the set and where it goes."""

    record: ComponentRecord
    component: Component
    client: Client
    """Follows the primary."""
    host: str
    """The primary when the step began."""


@dataclass(frozen=True)
class RestoreJob:
    """A restore's set and target, opened."""

    request: RestoreRequest
    credentials: Credentials
    connector: Connector
    repository: Repository
    manifest: Manifest
    manifest_id: str
    topology: Topology

    @cached_property
    def rules(self) -> RestoreRules:
        """Selection and new names.

        :raises ConfigurationError: names cannot change in a sharded cluster.
        """
        parameters = self.request.parameters
        if parameters.rename and self.sharded:
            raise ConfigurationError("rename is not possible in a sharded cluster: leave it empty")
        return RestoreRules(include=parameters.include, exclude=parameters.exclude, rename=parameters.rename)

    @property
    def sharded(self) -> bool:
        """Whether the set is of a sharded cluster."""
        return self.manifest.topology is TopologyKind.SHARDED

    @cached_property
    def mapping(self) -> dict[str, Component]:
        """The target's component for each of the set's."""
        return map_components(self.manifest, self.topology, self.request.parameters.shard_map)

    @property
    def shard_map(self) -> dict[str, str]:
        """Every shard of the set by its name on the target."""
        return {name: found.name for name, found in self.mapping.items() if found.role is ComponentRole.SHARD}

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """All components, the config server first."""
        return tuple(
            Target(
                record=record,
                component=self.mapping[record.name],
                client=self.client(self.mapping[record.name]),
                host=check_primary(self.mapping[record.name]),
            )
            for record in self.manifest.components
        )

    def target(self, name: str) -> Target:
        """One component, by its name in the set.

        :raises ConfigurationError: the set has none of that name.
        """
        found = next((target for target in self.targets if target.record.name == name), None)
        if found is None:
            names = ", ".join(target.record.name for target in self.targets)
            raise ConfigurationError(f"set {self.manifest.set_id} has no component {name}: it has {names}")
        return found

    @property
    def data_targets(self) -> tuple[Target, ...]:
        """The components that hold users' data: all but the config server."""
        return tuple(target for target in self.targets if target.record.role is not ComponentRole.CONFIG)

    @property
    def config(self) -> Target:
        """The config server of a sharded target."""
        return next(target for target in self.targets if target.record.role is ComponentRole.CONFIG)

    def client(self, component: Component) -> Client:
        """A client that follows the component's primary."""
        hosts = tuple(member.host for member in component.members if not member.arbiter)
        if component.replica_set is None:
            return self.connector.member(hosts[0])
        return self.connector.primary(hosts, component.replica_set)

    def archive(self, record: ComponentRecord) -> SnapshotReader:
        """A component's archive as a stream; use as a context manager."""
        return SnapshotReader(self.repository, record.archive_id, record.archive_file)

    @cached_property
    def routing(self) -> Routing:
        """What of the set's routing is restored."""
        databases = {record.db for target in self.data_targets for record in selected(target.record, self.rules)}
        with self.archive(self.config.record) as stream:
            return read_routing(stream, rules=self.rules, databases=databases)

    @property
    def cluster(self) -> ShardedTarget:
        """The sharded target as dropping wants it."""
        shards = (component for component in self.topology.components if component.role is ComponentRole.SHARD)
        return ShardedTarget(
            config=self.config.client,
            config_host=self.config.host,
            shards={shard.name: (self.client(shard), check_primary(shard)) for shard in shards},
        )


@contextmanager
def open_job(request: RestoreRequest, credentials: Credentials, *, acting: bool = True) -> Iterator[RestoreJob]:
    """Open set and target, and hold the target for this run meanwhile.

    :param acting: False: the step only looks, so nothing is written; but it refuses a target that is not free.
    :raises TargetBusyError: another run is at work on the target.
    :raises PreconditionError: the step acts, and the balancer of the target is on.
    :raises MongoBackupError: the set is not complete, the target is not as declared, something does not answer.
    """
    return_large_pieces()
    with (
        Repository.of(
            configuration=request.objects.configuration, storage=request.objects.storage, credentials=credentials
        ) as repository,
        Connector(binding=request.binding, credentials=credentials, restore=True) as connector,
    ):
        with ThreadPoolExecutor(max_workers=1) as pool:  # restic takes a second to start: look at the target meanwhile
            found = pool.submit(_find_manifest, request, repository)
            topology = discover(connector)
            check(request.binding, topology)
            manifest, manifest_id = found.result()
        with _presence(request, connector, acting=acting):
            if acting and topology.kind is TopologyKind.SHARDED:
                require_stopped(connector)
            yield RestoreJob(request, credentials, connector, repository, manifest, manifest_id, topology)


def _find_manifest(request: RestoreRequest, repository: Repository) -> tuple[Manifest, str]:
    """The manifest that the plan found, else the one that the parameters ask for."""
    if request.plan is not None:
        manifest_id = request.plan.manifest_id
        return decode_manifest(read_file(repository, manifest_id, MANIFEST_FILE), request.plan.set_id), manifest_id
    entry = SetCatalog.read(repository).find(request.parameters.snapshot)
    manifest = read_manifest(repository, entry)
    require_archives(entry, manifest)
    return manifest, str(entry.manifest_id)


def _presence(request: RestoreRequest, connector: Connector, *, acting: bool) -> AbstractContextManager[None]:
    if acting:
        return at_work(connector, owner=request.run.owner, lease_seconds=RESTORE_LEASE_SECONDS)
    refuse_others(connector, request.run.owner)
    return nullcontext()
