"""Long steps for which no worker waits: what they outlive, and that they can be ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.airflow.stage import Stage

from sandbox.cluster import ShardedCluster
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.ready import NAMESPACE
from sandbox.stack import BACKUP_DAG, Stack
from sandbox.waiting import wait_until

pytestmark = pytest.mark.xdist_group("airflow")  # one cluster and one set of servers for all of a group

SECONDS = 600
DUMPS = ("dump[0]", "dump[1]", "dump[2]")


@pytest.fixture
def stage(stack: Stack) -> Stage:
    """What shows the marks on the target."""
    assert isinstance(stack.deployment, ShardedCluster)
    return Stage(cluster=stack.deployment, airflow=stack.live, credentials=stack.credentials, objects=stack.folder)


def dump_pods(cluster: KubernetesCluster) -> dict[str, Any]:
    """The pods of dumps, by component."""
    found = cluster.core.list_namespaced_pod(NAMESPACE, label_selector="mongo-backup/step=backup.dump").items
    return {pod.metadata.labels["mongo-backup/component"]: pod for pod in found}


def running(cluster: KubernetesCluster, step: str) -> int:
    """How many pods of a step run."""
    found = cluster.core.list_namespaced_pod(NAMESPACE, label_selector=f"mongo-backup/step={step}").items
    return sum(pod.status.phase == "Running" for pod in found)


@contextmanager
def hanging_dumps(stack: Stack, cluster: KubernetesCluster, run: str | None = None) -> Iterator[str]:
    """A backup (None: a new one) whose dumps are deferred and hang, since the store does not answer; its run."""
    client = stack.live.client
    run = run or client.trigger(BACKUP_DAG)
    client.wait_task(BACKUP_DAG, run, "lock_secondaries", "success", timeout=SECONDS)
    stack.store.pause()
    try:
        for name in DUMPS:
            client.wait_task(BACKUP_DAG, run, name, "deferred", timeout=SECONDS)
        wait_until(lambda: running(cluster, "backup.dump") == len(DUMPS), what="all dumps run", timeout=SECONDS)
        yield run
    finally:
        stack.store.resume()


def wait_for_nothing(cluster: KubernetesCluster) -> None:
    """Neither a pod nor a Secret is left."""
    wait_until(lambda: not cluster.core.list_namespaced_pod(NAMESPACE).items, what="all pods are gone", timeout=90)
    assert not cluster.core.list_namespaced_secret(NAMESPACE).items


def test_a_run_outlives_its_scheduler_and_triggerer(stack: Stack, cluster: KubernetesCluster, stage: Stage) -> None:
    """A killed worker's step is tried again, in a new pod; dumps, for which no worker waits, do not notice."""
    client = stack.live.client
    run = client.trigger(BACKUP_DAG)
    stack.store.pause()
    try:
        wait_until(lambda: running(cluster, "backup.prepare") == 1, what="prepare runs", timeout=SECONDS)
        stack.live.restart("scheduler", kill=True)
    finally:
        stack.store.resume()
    with hanging_dumps(stack, cluster, run):
        before = {name: pod.metadata.uid for name, pod in dump_pods(cluster).items()}
        stack.live.restart("triggerer", kill=True)
        stack.live.restart("scheduler", kill=True)
        assert {name: pod.metadata.uid for name, pod in dump_pods(cluster).items()} == before
    assert client.wait(BACKUP_DAG, run, timeout=SECONDS) == "success", stage.explain(BACKUP_DAG, run)
    dumps = [task for task in client.tasks(BACKUP_DAG, run) if task.task == "dump"]
    assert [task.tries for task in dumps] == [1, 1, 1]
    assert client.task(BACKUP_DAG, run, "prepare").tries == 2  # type: ignore[union-attr]
    for task in dumps:
        log = client.log(BACKUP_DAG, run, task.name)
        assert f"{task.label}: reading " in log, "what the agent said is in the task's log"
        assert client.result(BACKUP_DAG, run, task.name)["component"] == task.label
    wait_for_nothing(cluster)


def test_a_dump_that_is_marked_failed_ends_its_pod(stack: Stack, cluster: KubernetesCluster, stage: Stage) -> None:
    client = stack.live.client
    with hanging_dumps(stack, cluster) as run:
        ended = client.task(BACKUP_DAG, run, "dump[1]")
        assert ended is not None
        assert ended.label in dump_pods(cluster)
        client.mark_task(BACKUP_DAG, run, "dump[1]", "failed")
        wait_until(lambda: ended.label not in dump_pods(cluster), what="its pod is gone", timeout=90)
    assert client.wait(BACKUP_DAG, run, timeout=SECONDS) == "failed"
    states = client.states(BACKUP_DAG, run)
    assert states["commit_snapshot"] in ("skipped", "upstream_failed")
    assert stage.marks() == []
    wait_for_nothing(cluster)


def test_a_dump_that_is_cleared_begins_anew(stack: Stack, cluster: KubernetesCluster, stage: Stage) -> None:
    client = stack.live.client
    with hanging_dumps(stack, cluster) as run:
        task = client.task(BACKUP_DAG, run, "dump[0]")
        assert task is not None
        first = dump_pods(cluster)[task.label or ""].metadata.uid
        client.clear_tasks(BACKUP_DAG, run, "dump[0]", downstream=False)
        wait_until(
            lambda: (pod := dump_pods(cluster).get(task.label or "")) is not None and pod.metadata.uid != first,
            what="the new try's pod is there",
            timeout=SECONDS,
        )
    assert client.wait(BACKUP_DAG, run, timeout=SECONDS) == "success", stage.explain(BACKUP_DAG, run)
    assert stage.marks() == []
    wait_for_nothing(cluster)
