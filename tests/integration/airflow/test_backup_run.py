"""A backup by a real Airflow: what a run that nobody disturbs looks like."""

from __future__ import annotations

import pytest
from tests.integration.airflow.stage import Stage

pytestmark = [pytest.mark.integration, pytest.mark.airflow]


def test_a_whole_backup(stage: Stage) -> None:
    before = stage.complete_sets()
    dag, run = stage.start("main")
    assert stage.client.wait(dag, run, timeout=240) == "success", stage.explain(dag, run)
    assert stage.marks() == []
    committed = stage.client.result(dag, run, "commit_snapshot")
    assert stage.complete_sets() - before == {committed["set_id"]}
    assert committed["consistency"] == "locked"
    labels = {task.label for task in stage.client.tasks(dag, run) if task.task == "dump"}
    assert labels == {"config", "shard0", "shard1"}
