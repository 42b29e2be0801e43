"""Backup and restore of a sharded cluster by a live Airflow: every step a pod, with the role of the manifests."""

from __future__ import annotations

import json

import pytest
from tests.kubernetes.evidence import Witness, findings, places

from mongo_backup.agent.registry import STEPS
from mongo_backup.agent.restore_contract import VerifyResult
from sandbox.cluster import CONFIG
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.ready import EXECUTION, NAMESPACE
from sandbox.stack import BACKUP_DAG, RESTORE_DAG, Stack
from sandbox.waiting import wait_until

pytestmark = pytest.mark.xdist_group("airflow")  # one cluster and one set of servers for all of a group

RUN_SECONDS = 900


def run(stack: Stack, dag: str, conf: dict[str, object] | None = None) -> str:
    """Trigger a DAG and wait for its success; the run's id."""
    client = stack.live.client
    found = client.trigger(dag, conf)
    state = client.wait(dag, found, timeout=RUN_SECONDS)
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
    check_pods(stack, witness)
    check_secrets(stack, cluster, witness)


def orders(stack: Stack) -> set[int]:
    """Numbers of all orders, on whatever shard."""
    shards = [name for name in stack.deployment.components if name != CONFIG]
    return {number for name in shards for number in stack.deployment.admin_client(name).shop.orders.distinct("number")}


def check_pods(stack: Stack, witness: Witness) -> None:
    """Every step of both DAGs ran in a pod that leads back to it."""
    pods = [json.loads(text) for text in witness.pods.values()]
    steps = {pod["metadata"]["labels"]["mongo-backup/step"] for pod in pods}
    expected = {step for step in STEPS if step.startswith(("backup.", "restore."))}
    assert steps == expected, f"not in a pod: {expected - steps}"
    dumped = {pod["metadata"]["labels"].get("mongo-backup/component") for pod in pods}
    assert dumped >= set(stack.deployment.components)
    for pod in pods:
        assert pod["metadata"]["labels"]["dag_id"] in (BACKUP_DAG, RESTORE_DAG)
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
