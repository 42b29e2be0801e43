"""Backup and restore of a sharded cluster by a live Airflow: every step a pod, with the role of the manifests.

All of it in one file, whose tests run on one worker: they share Airflow and the servers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.airflow.stage import Stage
from tests.kubernetes import offsite
from tests.kubernetes.evidence import Witness, findings, places
from tests.kubernetes.offsite import COPY

from mongo_backup.agent.restore_contract import VerifyResult
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.ready import EXECUTION, NAMESPACE
from sandbox.s3 import S3Store
from sandbox.stack import BACKUP_DAG, RESTORE_DAG, Stack
from sandbox.waiting import wait_until

SECONDS = 900


def run(stack: Stack, dag: str, conf: dict[str, object] | None = None) -> str:
    """Trigger a DAG and wait for its success; the run's id."""
    client = stack.live.client
    found = client.trigger(dag, conf)
    state = client.wait(dag, found, timeout=SECONDS)
    tasks = client.tasks(dag, found)
    for task in tasks:
        print(f"{task}")
    failed = [task.name for task in tasks if task.state == "failed"]
    logs = "\n".join(f"--- {name}\n{client.log(dag, found, name)[-4000:]}" for name in failed)
    assert state == "success", logs
    return found


def test_backup_and_restore_of_a_sharded_cluster(stack: Stack, cluster: KubernetesCluster) -> None:
    before = orders(stack)
    assert before
    with Witness(cluster, NAMESPACE) as witness:
        backup = run(stack, BACKUP_DAG)
        committed = stack.live.client.result(BACKUP_DAG, backup, "commit_snapshot")
        assert committed["cluster_time"] is not None
        stack.deployment.wipe_and_restart()
        restore = run(stack, RESTORE_DAG, {"snapshot": committed["set_id"], "users": "merge"})
    verified = VerifyResult.model_validate(stack.live.client.result(RESTORE_DAG, restore, "verify_restore"))
    assert verified.digests == verified.namespaces > 0
    assert orders(stack) == before
    wait_until(lambda: not cluster.core.list_namespaced_pod(NAMESPACE).items, what="all pods are gone")
    assert not cluster.core.list_namespaced_secret(NAMESPACE).items
    check_pods(stack, witness, backup, restore)
    check_secrets(stack, cluster, witness)


def orders(stack: Stack) -> set[int]:
    """Numbers of all orders, on whatever shard."""
    shards = [name for name in stack.deployment.components if name != CONFIG]
    return {number for name in shards for number in stack.deployment.admin_client(name).shop.orders.distinct("number")}


def pods_of(witness: Witness, *dags: str) -> list[dict[str, Any]]:
    """The pods that were seen of these DAGs."""
    pods = [json.loads(text) for text in witness.pods.values()]
    return [pod for pod in pods if pod["metadata"]["labels"]["dag_id"] in dags]


def check_pods(stack: Stack, witness: Witness, backup: str, restore: str) -> None:
    """Every step of both DAGs ran in a pod that leads back to it."""
    pods = pods_of(witness, BACKUP_DAG, RESTORE_DAG)
    steps = {pod["metadata"]["labels"]["mongo-backup/step"] for pod in pods}
    client = stack.live.client
    expected = {f"backup.{task.task}" for task in client.tasks(BACKUP_DAG, backup)}
    expected |= {f"restore.{task.task}" for task in client.tasks(RESTORE_DAG, restore)}
    assert steps == expected, f"not in a pod: {expected - steps}"
    dumped = {pod["metadata"]["labels"].get("mongo-backup/component") for pod in pods}
    assert dumped >= set(stack.deployment.components)
    for pod in pods:
        assert pod["spec"]["serviceAccountName"] == EXECUTION["service_account"]


def check_secrets(stack: Stack, cluster: KubernetesCluster, witness: Witness) -> None:
    """Nothing that the run leaves behind holds a password, a key or a token in the clear."""
    secrets = [each.password_text() for each in stack.credentials.values.values()]
    assert len(secrets) >= 4
    assert all(secrets)
    found = findings([text for text in secrets if text], places(witness, stack.live, cluster))
    assert not found, found
    # The search sees what is there: a user name is no secret, and stands in the audit log of Airflow's database.
    assert findings(["admin"], places(witness, stack.live, cluster))


@pytest.mark.long
def test_control_steps_on_the_worker(stack: Stack, cluster: KubernetesCluster) -> None:
    dag = "backup.mixed.manual"
    stack.live.client.wait_for_dag(dag)
    stack.live.client.pause(dag, paused=False)
    with Witness(cluster, NAMESPACE) as witness:
        run(stack, dag)
    steps = {pod["metadata"]["labels"]["mongo-backup/step"] for pod in pods_of(witness, dag)}
    assert steps == {"backup.dump", "backup.commit_snapshot", "backup.apply_retention"}
    wait_for_nothing(cluster)


@pytest.mark.long
def test_copy_verification_and_maintenance(stack: Stack, cluster: KubernetesCluster, second_store: S3Store) -> None:
    """All that looks after a set, in pods; who is given the copy's credentials, and that they stay there."""
    cluster.load_server_image()
    second_store.start()
    names = {"backup": "backup.copied.manual", "verify": "verify.copied", "maintain": f"maintain.copied.{COPY}"}
    for dag in names.values():
        stack.live.client.wait_for_dag(dag)
        stack.live.client.pause(dag, paused=False)
    with Witness(cluster, NAMESPACE) as witness:
        backup = run(stack, names["backup"])
        verify = run(stack, names["verify"], {"copy": COPY})
        run(stack, names["maintain"])
    client = stack.live.client
    assert client.result(names["backup"], backup, "copy[0]")["copied_sets"] == 1
    verified = client.result(names["verify"], verify, "restore_and_compare")
    assert verified["digests"] > verified["namespaces"] > 0
    labels = {name: json.loads(text)["metadata"]["labels"] for name, text in witness.pods.items()}
    told = {labels[name]["mongo-backup/step"]: given for name, given in witness.credentials.items()}
    assert {f"maintain.{step}" for step in ("check", "prune")} <= told.keys()
    with_theirs = {step for step, given in told.items() if given & offsite.REFERENCES}
    assert with_theirs == {step for step in told if step.startswith(("backup.copy", "verify.", "maintain."))}
    assert told["verify.restore_and_compare"] == offsite.REFERENCES
    of_the_copy = {each["mongo-backup/step"] for each in labels.values() if each.get("mongo-backup/copy") == COPY}
    assert of_the_copy >= with_theirs
    assert not findings(offsite.SECRETS, places(witness, stack.live, cluster))
    wait_for_nothing(cluster)


# Long steps, for which no worker waits: what they outlive, and that they can be ended

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


@pytest.mark.long
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
