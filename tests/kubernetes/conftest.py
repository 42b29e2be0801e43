"""One Kubernetes for all of these tests, with the product's own manifests, role and agent image."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubernetes import client as k8s

if "AIRFLOW_HOME" not in os.environ:  # before anything imports airflow: it makes its files where this says
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mongo-backup-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from tests.kubernetes import offsite
from tests.kubernetes.bench import Bench

from sandbox import objects
from sandbox.cluster import ShardedCluster
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.ready import AIRFLOW_ACCOUNT, EXECUTION, NAMESPACE, connection, ready_cluster
from sandbox.ports import listening_on
from sandbox.replica_set import ReplicaSet
from sandbox.s3 import S3Store
from sandbox.seed import seed
from sandbox.stack import Stack

BY_TRIGGER = {"schedule": None}


@pytest.fixture(scope="session")
def cluster() -> Iterator[KubernetesCluster]:
    """A node with the agent image, and the namespace as the manifests make it."""
    with ready_cluster() as found:
        yield found


@pytest.fixture(scope="session")
def airflow_kubeconfig(cluster: KubernetesCluster) -> Path:
    """What Airflow may do in the cluster: the role of the manifests and nothing else."""
    return cluster.account_kubeconfig(AIRFLOW_ACCOUNT, namespace=NAMESPACE)


@pytest.fixture(scope="session")
def airflow_client(cluster: KubernetesCluster, airflow_kubeconfig: Path) -> k8s.CoreV1Api:
    """The API as Airflow sees it."""
    return k8s.CoreV1Api(cluster.api_client(airflow_kubeconfig))


@pytest.fixture(scope="session")
def servers(cluster: KubernetesCluster) -> Iterator[tuple[ReplicaSet, S3Store]]:
    """A MongoDB and a store that pods reach."""
    with listening_on(cluster.address), ReplicaSet(members=2) as deployment, S3Store() as store:
        deployment.admin_client("rs0").shop.orders.insert_many([{"_id": number} for number in range(1000)])
        deployment.wait_for_replication()
        yield deployment, store


@pytest.fixture(scope="module")
def second_store(cluster: KubernetesCluster) -> Iterator[S3Store]:
    """A store for copies that pods reach. It has its address; who needs it starts it."""
    with listening_on(cluster.address):
        store = S3Store(key=offsite.KEY)
    yield store
    store.close()


@pytest.fixture(scope="module")
def stack(cluster: KubernetesCluster, airflow_kubeconfig: Path, second_store: S3Store) -> Iterator[Stack]:
    """Config server and two shards, seeded, and an Airflow whose steps are pods."""
    with listening_on(cluster.address):
        found = Stack(
            deployment=ShardedCluster(),
            settings={
                **connection(airflow_kubeconfig),
                **offsite.connections(),
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            },
            session={"retries": 1},
            further=[
                objects.configuration(
                    name="mixed", execution={**EXECUTION, "control_steps": "worker"}, maintenance=BY_TRIGGER
                ),
                offsite.storage(second_store),
                objects.configuration(
                    name="copied",
                    execution=EXECUTION,
                    session=offsite.SESSION,
                    verification=offsite.VERIFICATION,
                    maintenance=BY_TRIGGER,
                ),
            ],
            execution=dict(EXECUTION),
            maintenance=BY_TRIGGER,
        )
    with found:
        seed(found.deployment, documents=3000)
        yield found


@pytest.fixture
def bench(
    cluster: KubernetesCluster,
    airflow_kubeconfig: Path,
    servers: tuple[ReplicaSet, S3Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    """Runs single steps in pods, with Airflow's rights."""
    for name, value in connection(airflow_kubeconfig).items():
        monkeypatch.setenv(name, value)
    return Bench(cluster=cluster, deployment=servers[0], store=servers[1], folder=tmp_path)
