"""The ground that every case stands on: a sharded cluster, an S3 store, and a proxy before each server."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import psutil

from mongo_backup.agent.restore_contract import RestoreParameters
from mongo_backup.errors import PermanentError
from mongo_backup.namespaces import JOURNAL_COLLECTION, JOURNAL_DB
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from mongo_backup.repository.restic import REPOSITORY_VERSION
from sandbox import objects as documents
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.component import SetSettings
from sandbox.faults.detour import VARIABLE
from sandbox.faults.judge import Marks, open_repository, read_marks
from sandbox.faults.proxy import Network, Proxy
from sandbox.inline import InlineBackup
from sandbox.inline_restore import InlineRestore
from sandbox.s3 import S3Store
from sandbox.seed import seed
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace

BULK = "bulk"
BULK_DOCUMENTS = 600
"""More than a first batch: a dump of them asks for a second one."""
CONFIGURATION, SESSION = "shop", "manual"
KEPT_SETS = 2
HISTORY_SECONDS = 300
"""The server's default."""
BALANCER = {"full": "_configsvrBalancerStart", "off": "_configsvrBalancerStop"}


class Stage:
    """Start it with `with`; all cases of a run share one.

    :param shards: of the cluster.
    """

    def __init__(self, *, shards: int = 2) -> None:
        self.cluster = ShardedCluster(
            shards=shards,
            # whoever becomes primary stays it: a preferred one would cause a second election after each
            settings=SetSettings(predictable_primary=False),
            parameters={"enableTestCommands": 1, "orphanCleanupDelaySecs": 0},
        )
        self.store = S3Store()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        self._stack.enter_context(self.cluster)
        self._stack.enter_context(self.store)
        network = self._stack.enter_context(Network())
        self.members = {host: Proxy(network, name=host, target=host) for host in self.cluster.hosts()}
        self.before_store = Proxy(network, name="store", target=self.store.endpoint.partition("://")[2])
        self.gateway = Proxy(network, name="gateway", target=None)
        for proxy in self.proxies:
            self._stack.callback(proxy.close)
        os.environ[VARIABLE] = json.dumps({host: proxy.address for host, proxy in self.members.items()})
        self._stack.callback(os.environ.pop, VARIABLE, None)
        self.credentials = documents.credentials(self.cluster, self.store)
        self.objects = self._objects()
        seed(self.cluster, documents=500)
        dice = random.Random(7)
        for shard in self.cluster.shard_names:
            bulk = self.cluster.admin_client(shard)[f"{BULK}_{shard}"].documents
            bulk.insert_many([{"_id": number, "text": dice.randbytes(500)} for number in range(BULK_DOCUMENTS)])
        self.cluster.wait_for_replication()
        self._make_repository()
        wait_until(self._no_orphans, what="the shards have removed what they do not own")

    def _make_repository(self) -> None:
        """Make the repository on a machine that seems slow, so that its password is quick to check.

        restic measures how long a key's derivation takes when it makes one, and settles for half a second of work. It
        is started some thirty times for each case.
        """
        with open_repository(self.objects, self.credentials) as repository:
            process = repository.start("init", "--repository-version", REPOSITORY_VERSION)
            while process.running:
                with contextlib.suppress(psutil.NoSuchProcess):  # it may end at any moment
                    for each in psutil.Process(process.guard_pid).children():
                        if each.name() == "restic":
                            each.suspend()
                            time.sleep(0.1)
                            each.resume()
                time.sleep(0.004)
            if process.end() != 0:
                raise PermanentError(f"restic could not make the repository: {process.errors.text}")

    def _no_orphans(self) -> bool:
        """Else they would be removed in the middle of a case, and the data be others."""
        names = self.cluster.shard_names
        return not any(self.cluster.admin_client(name).config.rangeDeletions.count_documents({}) for name in names)

    def _objects(self) -> Objects:
        storage = documents.s3_storage(self.store)
        storage["spec"]["endpoint"] = f"http://{self.before_store.address}"
        folder = self._stack.enter_context(Workspace("faults")).path
        documents.write_objects(
            folder,
            self.cluster.app_binding(),
            storage,
            documents.retention_policy(last=KEPT_SETS),
            documents.configuration(
                session={"retention_policy": {"name": "keep"}},
                metrics={"pushgateway": f"http://{self.gateway.address}"},
            ),
        )
        return load_directory(folder).resolve(CONFIGURATION, SESSION)

    @property
    def proxies(self) -> list[Proxy]:
        """All of them."""
        return [*self.members.values(), self.before_store, self.gateway]

    def backup(self) -> InlineBackup:
        """A backup, in this process."""
        return InlineBackup(objects=self.objects, credentials=self.credentials, session=SESSION)

    def restore(self, snapshot: str = "latest") -> InlineRestore:
        """A restore onto the cluster itself, in this process."""
        parameters = RestoreParameters(snapshot=snapshot, existing="drop", users="merge")
        return InlineRestore(objects=self.objects, credentials=self.credentials, parameters=parameters)

    def set_balancer(self, mode: str) -> None:
        """Put the balancer into a mode, as an operator does."""
        self.cluster.admin_client(CONFIG).admin.command(BALANCER[mode])

    def marks(self) -> Marks:
        """What must be as before."""
        return read_marks(self.cluster, self.objects, self.credentials)

    def settle(self) -> None:
        """All servers run, all paths are open, all sets have a primary, nothing is behind."""
        self.open_all()
        self.cluster.wait_for_replication()

    def open_all(self) -> None:
        """All servers run, all paths are open, all sets have a primary."""
        for proxy in self.proxies:
            proxy.set("pass")
            proxy.tap = None
        for component in self.cluster.components.values():
            for mongod in component.mongods:
                mongod.resume()
                if not mongod.running:
                    mongod.start()
            component.wait_settled()

    def reset(self) -> None:
        """Take every mark off by force, so that a case that failed leaves nothing to the next."""
        self.open_all()
        for component in self.cluster.components.values():
            for host in component.hosts:
                admin = component.admin_client(host).admin
                while admin.command({"currentOp": 1, "$ownOps": True}).get("fsyncLock"):
                    admin.command("fsyncUnlock")
                admin.command({"setParameter": 1, "minSnapshotHistoryWindowInSeconds": HISTORY_SECONDS})
        self.cluster.admin_client(CONFIG)[JOURNAL_DB][JOURNAL_COLLECTION].delete_many({})
        self.settle()
