"""A backup by a real Airflow: what a run that nobody disturbs looks like."""

from __future__ import annotations

import json

import pytest
from tests.integration.airflow.stage import PATIENCE, Stage

from sandbox.deployment import Deployment

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]


def test_a_whole_backup(stage: Stage) -> None:
    stage.wait_quiet()
    before = stage.complete_sets()
    dag, run = stage.start("main")
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    assert stage.marks() == []
    committed = stage.client.result(dag, run, "commit_snapshot")
    assert stage.complete_sets() - before == {committed["set_id"]}
    assert committed["consistency"] == "locked"
    assert stage.client.result(dag, run, "finish")["swept"] == []
    labels = {task.label for task in stage.client.tasks(dag, run) if task.task == "dump"}
    assert labels == {"config", "shard0", "shard1"}


def test_a_whole_backup_without_locks(stage: Stage) -> None:
    stage.wait_quiet()
    before = stage.complete_sets()
    with stage.slow_reads("shard0"):
        dag, run = stage.start("windows")
        stage.wait_agents("backup.dump", 1)
        assert stage.locked() == []
        assert [mark for mark in stage.marks() if "keeps history" in mark]
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    assert stage.marks() == []
    assert stage.client.result(dag, run, "finish")["swept"] == []
    committed = stage.client.result(dag, run, "commit_snapshot")
    assert (stage.complete_sets() - before, committed["consistency"]) == ({committed["set_id"]}, "snapshot")


@pytest.mark.parametrize(("name", "fixture"), [("set", "replica_set"), ("single", "standalone")])
def test_a_backup_and_its_restore_in_the_other_topologies(
    stage: Stage, name: str, fixture: str, request: pytest.FixtureRequest
) -> None:
    deployment: Deployment = request.getfixturevalue(fixture)
    documents = deployment.client()[f"airflow_{name}"].documents
    documents.insert_many([{"_id": number, "text": "x" * number} for number in range(500)])
    dag, run = f"backup.{name}.manual", stage.client.trigger(f"backup.{name}.manual")
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    committed = stage.client.result(dag, run, "commit_snapshot")
    assert committed["consistency"] == ("locked" if name == "set" else "none")
    documents.delete_many({"_id": {"$lt": 400}})
    dag = f"restore.{name}"
    run = stage.client.trigger(dag, {"existing": "drop", "include": [f"airflow_{name}.*"]})
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    assert documents.count_documents({}) == 500
    documents.database.client.drop_database(f"airflow_{name}")


def test_airflow_finds_everything(stage: Stage) -> None:
    """No broken DAG, nothing paused, the plugin there, and nothing of the library run as a plugin."""
    assert stage.client.import_errors() == {}
    dags = stage.client.dags()
    assert {name for name in dags if name.startswith("backup.rows.")} == {
        f"backup.rows.{session}" for session in ("main", "patient", "hasty", "windows")
    }
    assert not [name for name, dag in dags.items() if dag["is_paused"]]
    plugins = stage.client.request("GET", "plugins")["plugins"]
    assert "mongo_backup" in {plugin["name"] for plugin in plugins}
    assert stage.client.request("GET", "plugins/importErrors")["import_errors"] == []


def test_no_password_in_any_log(stage: Stage) -> None:
    """After all runs of this module: logs of tasks, scheduler, DAG processor and API server."""
    secrets = [value.password_text() or "" for value in stage.credentials.values.values()]
    assert all(len(secret) > 8 for secret in secrets)
    logs = list((stage.airflow.home / "logs").rglob("*.log"))
    assert len(logs) > 10
    for path in logs:
        text = path.read_text(errors="replace")
        for secret in secrets:
            assert secret not in text, path.name
            assert json.dumps(secret)[1:-1] not in text, path.name
