"""A restore by a real Airflow: the plan waits for a person, and does what the person says."""

from __future__ import annotations

import pytest
from tests.integration.airflow.stage import CONFIGURATION, PATIENCE, Stage, slow_database

from sandbox.cluster import ShardedCluster

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = f"restore.{CONFIGURATION}"


@pytest.fixture(scope="module")
def backup(stage: Stage) -> str:
    """A complete snapshot of what the cluster holds now; its id."""
    stage.wait_quiet()
    dag, run = stage.start("main")
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    return str(stage.client.result(dag, run, "commit_snapshot")["set_id"])


def ask(stage: Stage, answer: str | None, **conf: object) -> tuple[str, str]:
    """Trigger a restore, answer the plan, wait for the end; return the run and its state."""
    run = stage.client.trigger(DAG, conf)
    if answer is not None:
        stage.client.answer(DAG, run, "approve", answer)
    return run, stage.client.wait(DAG, run, timeout=PATIENCE)


def counts(cluster: ShardedCluster) -> dict[str, int]:
    """Documents of each shard's collection."""
    found = {}
    for shard in cluster.shard_names:
        collection = cluster.client(component=shard)[slow_database(shard)].documents
        found[shard] = collection.count_documents({})
    return found


def damage(cluster: ShardedCluster) -> None:
    """Lose most of each shard's collection."""
    for shard in cluster.shard_names:
        cluster.client(component=shard)[slow_database(shard)].documents.delete_many({"_id": {"$gte": 100}})


def test_an_approved_restore(stage: Stage, backup: str) -> None:
    before = counts(stage.cluster)
    damage(stage.cluster)
    run, state = ask(stage, "Approve", existing="drop", snapshot=backup)
    assert state == "success", stage.explain(DAG, run)
    assert counts(stage.cluster) == before
    assert stage.marks() == []
    labels = {task.label for task in stage.client.tasks(DAG, run) if task.task == "restore"}
    assert labels == {"config", *stage.cluster.shard_names}

    # A person who clears the restoring alone gets it with the balancer off, and nothing that another try left.
    damage(stage.cluster)
    assert {"disable_balancer", "restore", "finish"} <= set(stage.client.clear_tasks(DAG, run, "restore"))
    assert stage.client.wait(DAG, run, timeout=PATIENCE) == "success", stage.explain(DAG, run)
    assert counts(stage.cluster) == before
    assert stage.marks() == []


def test_a_rejected_restore(stage: Stage, backup: str) -> None:
    before = counts(stage.cluster)
    run, state = ask(stage, "Reject", existing="drop")
    assert state == "failed"
    states = stage.client.states(DAG, run)
    assert (states["plan_restore"], states["approve"], states["drop_existing"]) == ("success", "success", "skipped")
    assert "nothing was restored" in stage.client.log(DAG, run, "finish")
    assert counts(stage.cluster) == before
    assert stage.marks() == []


def test_a_plan_that_cannot_work(stage: Stage, backup: str) -> None:
    """`existing: refuse` and there is something: nobody is even asked."""
    before = counts(stage.cluster)
    run, state = ask(stage, None)
    assert state == "failed"
    assert stage.client.states(DAG, run)["plan_restore"] == "failed"
    assert "nothing was restored" in stage.client.log(DAG, run, "finish")
    assert counts(stage.cluster) == before


def test_a_wrong_parameter(stage: Stage, backup: str) -> None:
    run, state = ask(stage, None, existing="drop", snapshoot="latest")
    assert state == "failed"
    assert stage.client.states(DAG, run)["plan_restore"] == "failed", stage.explain(DAG, run)
