"""A backup by a real Airflow that a person or an error disturbs: more than `make test` tries."""

from __future__ import annotations

import pytest
from tests.integration.airflow.judge import ends_honestly, ends_red
from tests.integration.airflow.stage import PATIENCE, Stage, wait_gone

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]


def test_a_dump_is_marked_failed_and_cleared_alone(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        stage.client.mark_task(dag, run, "dump[1]", "failed")
        wait_gone(stage.agent_of("shard0"))
    ends_red(stage, dag, run, before=before)
    states = stage.client.states(dag, run)
    assert (states["dump[0]"], states["dump[1]"], states["dump[2]"]) == ("success", "failed", "success")
    assert states["unlock_secondaries"] == states["enable_balancer"] == "success"
    assert states["commit_snapshot"] == "skipped"
    # "Clear only failed" makes the dump again, without the setups that held the members. It stays red.
    body = {"dry_run": False, "dag_run_id": run, "only_failed": True, "reset_dag_runs": True}
    stage.client.request("POST", f"dags/{dag}/clearTaskInstances", json=body)
    ends_red(stage, dag, run, before=before)


def test_one_dump_is_cleared_while_others_run(stage: Stage, before: set[str]) -> None:
    """Its setups run again, so the other members' locks are no longer those that their dumps began with."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        cleared = stage.client.clear_tasks(dag, run, "dump[1]")
        assert {"dump", "lock_secondaries", "finish"} <= set(cleared)
        state = stage.client.wait(dag, run, timeout=PATIENCE)
    assert stage.marks() == [], stage.explain(dag, run)
    assert (state, stage.complete_sets()) == ("failed", before), stage.explain(dag, run)


def test_a_run_is_lost_and_the_next_one_queues(stage: Stage, before: set[str]) -> None:
    """Its DAG is paused, so no teardown runs, and all its processes are killed. The watchdog undoes everything, but
    not before the lease has ended; the run that waits for the target goes on."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        stage.kill_run(dag)
    waiting, queued = stage.start("windows")
    stage.client.wait_task(waiting, queued, "prepare", "up_for_reschedule", timeout=PATIENCE)
    stage.client.pause(waiting)
    assert f"DAG {dag}, run {run} begun" in stage.client.log(waiting, queued, "prepare")
    locked = stage.locked()
    assert len(locked) >= 2
    assert stage.balancer() == "off"
    assert "Left alone, its run is alive" in stage.watch()
    assert stage.locked() == locked
    stage.end_leases()
    assert "Undone, its run is dead" in stage.watch()
    assert stage.marks() == []
    stage.client.pause(dag, False)
    ends_red(stage, dag, run, before=before)
    stage.client.pause(waiting, False)
    ends_honestly(stage, waiting, queued, before=before)
    assert stage.client.run_state(waiting, queued) == "success", stage.explain(waiting, queued)
