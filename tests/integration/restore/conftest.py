"""A deployment with its configuration and a repository in a folder: back it up, restore it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mongo_backup.agent.contract import CommitResult
from mongo_backup.agent.restore_contract import RestoreParameters, VerifyResult
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.locks.release import release
from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.resolved import Objects
from mongo_backup.objects.storage import BackupStorage
from sandbox import objects
from sandbox.cluster import ShardedCluster
from sandbox.deployment import Deployment
from sandbox.inline import InlineBackup
from sandbox.inline_restore import InlineRestore
from sandbox.replica_set import ReplicaSet
from sandbox.seed import seed


@dataclass
class Workbench:
    """What a test of a whole restore needs."""

    deployment: Deployment
    objects: Objects
    credentials: Credentials

    @classmethod
    def of(cls, deployment: Deployment, folder: Path) -> Workbench:
        """With a repository in the folder."""
        found = Objects(
            configuration=BackupConfiguration.model_validate(objects.configuration()),
            target=AppBinding.model_validate(deployment.app_binding()),
            storage=BackupStorage.model_validate(objects.local_storage(folder)),
            addon=builtin_addon(),
        )
        return cls(deployment, found, objects.credentials(deployment))

    def backup(self) -> CommitResult:
        """Make a set."""
        return InlineBackup(self.objects, self.credentials).run()

    def prepared(self, **parameters: Any) -> InlineRestore:
        """A restore that was not started yet."""
        return InlineRestore(self.objects, self.credentials, RestoreParameters.model_validate(parameters))

    def restore(self, **parameters: Any) -> VerifyResult:
        """Restore, all steps."""
        return self.prepared(**parameters).run()


@pytest.fixture(autouse=True)
def _nothing_is_held(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that takes single steps of a restore never comes to its end: nobody else would get the target."""
    yield
    for name in {"shop_set", "shop_cluster"} & set(request.fixturenames):
        bench: Workbench = request.getfixturevalue(name)
        with Connector(binding=bench.objects.target, credentials=bench.credentials) as connector:
            release(connector)


@pytest.fixture(scope="module")
def empty_set() -> Iterator[ReplicaSet]:
    """One member, no data: each test uses databases of its own."""
    with ReplicaSet(members=1, parameters={"enableTestCommands": 1}) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def shop_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A seeded replica set that is backed up; tests may do to it what they like, for they restore it first."""
    with ReplicaSet(members=2, parameters={"ttlMonitorSleepSecs": 1}) as deployment:
        seed(deployment, documents=1000)
        bench = Workbench.of(deployment, tmp_path_factory.mktemp("store"))
        bench.backup()
        yield bench


@pytest.fixture(scope="module")
def shop_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """A seeded sharded cluster with one set; tests may do to it what they like, for they restore it first."""
    with ShardedCluster(members=1, config_members=1) as deployment:
        seed(deployment, documents=1000, sharded_time_series=True)
        bench = Workbench.of(deployment, tmp_path_factory.mktemp("store"))
        bench.backup()
        yield bench
