"""Two Airflows with the same objects: a copy for tests, or an old one that somebody forgot to stop."""

from __future__ import annotations

import pytest
from tests.integration.airflow.judge import ends_honestly
from tests.integration.airflow.stage import PATIENCE, Stage

from mongo_backup_airflow.delays import RETRY_VARIABLE
from sandbox.airflow import Airflow

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(1800)]

RUN = "the_same_in_both"
"""As the schedulers of both make runs of the same ids."""


def test_the_same_run_in_both(stage: Stage, before: set[str]) -> None:
    """The second waits for the first, though both have the same id; its watchdog leaves the first alone."""
    # the product's own pause: a scheduler that is busy fails a task that looks again before its last look is noted
    unhurried = {RETRY_VARIABLE: "15"}
    with Airflow(objects=stage.objects, credentials=stage.credentials, settings=unhurried) as airflow:
        other = Stage(cluster=stage.cluster, airflow=airflow, credentials=stage.credentials, objects=stage.objects)
        dag = "backup.rows.main"
        other.client.wait_for_dag(dag)
        with stage.slow_reads():
            stage.client.trigger(dag, run=RUN)
            stage.client.wait_task(dag, RUN, "lock_secondaries", "success", timeout=PATIENCE)
            stage.wait_agents("backup.dump", 3)
            other.client.trigger(dag, run=RUN)
            other.client.wait_task(dag, RUN, "prepare", "up_for_reschedule", timeout=PATIENCE)
            watched = other.watch()
        assert "Left alone, its run is alive" in watched
        assert "Undone" not in watched
        assert stage.client.wait(dag, RUN, timeout=PATIENCE) == "success", stage.explain(dag, RUN)
        first = stage.client.result(dag, RUN, "commit_snapshot")["set_id"]
        ends_honestly(other, dag, RUN, before=before | {first})
        assert other.client.run_state(dag, RUN) == "success", other.explain(dag, RUN)
        second = other.client.result(dag, RUN, "commit_snapshot")["set_id"]
    assert stage.complete_sets() - before == {first, second}
