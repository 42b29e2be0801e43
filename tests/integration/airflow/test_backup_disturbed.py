"""A backup by a real Airflow that a person or an error disturbs: the run is red and nothing is left on the target.

Each test is a row of what can happen to a running backup. The dumps are made slow, so that they are sure to be running.
What happens to processes is in `test_backup_killed.py`: a file of its own, so that both run side by side.
"""

from __future__ import annotations

import pytest
from tests.integration.airflow.judge import ends_honestly, ends_red
from tests.integration.airflow.stage import PATIENCE, Stage, wait_gone

from sandbox.waiting import wait_until

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


def test_the_run_is_marked_failed(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        agents = stage.agents("backup.dump")
        stage.client.mark_run(dag, run, "failed")
        wait_gone(*agents)
    ends_red(stage, dag, run, before=before)
    states = stage.client.states(dag, run)
    assert states["unlock_secondaries"] == states["unlock_config_server"] == states["enable_balancer"] == "success"


def test_the_run_is_marked_success(stage: Stage, before: set[str]) -> None:
    """Airflow takes a person's word for the colour; but nothing is committed and nothing is left behind."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        agents = stage.agents("backup.dump")
        stage.client.mark_run(dag, run, "success")
        stage.client.wait(dag, run, timeout=PATIENCE)
        wait_gone(*agents)
    wait_until(lambda: not stage.marks(), what="nothing is left on the target", timeout=60)
    assert stage.complete_sets() == before


def test_the_run_is_cleared_while_it_dumps(stage: Stage, before: set[str]) -> None:
    """Everything again: the old agents end before the new ones begin, and the second backup is whole."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        agents = stage.agents("backup.dump")
        stage.client.clear_run(dag, run)
        wait_gone(*agents)
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "success", stage.explain(dag, run)
    assert stage.marks() == []
    committed = stage.client.result(dag, run, "commit_snapshot")
    assert stage.complete_sets() - before == {committed["set_id"]}


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


@pytest.mark.parametrize(
    ("command", "where", "task"),
    [
        ("fsync", "shard0", "lock_secondaries"),
        ("fsync", "config", "lock_config_server"),
        ("_configsvrBalancerStop", "config", "disable_balancer"),
        ("replSetGetStatus", "shard0", "prepare"),
    ],
)
def test_a_step_before_the_dumps_fails(stage: Stage, before: set[str], command: str, where: str, task: str) -> None:
    data = {"failCommands": [command], "errorCode": 8000}
    with stage.fail_point(data, *stage.cluster.hosts(where)):
        dag, run = stage.start("main")
        ends_red(stage, dag, run, before=before)
    states = stage.client.states(dag, run)
    assert states[task] == "failed", states
    assert states["dump"] == "upstream_failed"


def test_an_unlock_fails_at_first(stage: Stage, before: set[str]) -> None:
    """It is tried again until it succeeds; the snapshot was whole all the time."""
    data = {"failCommands": ["fsyncUnlock"], "errorCode": 8000}
    hosts = stage.cluster.hosts("shard0")
    with stage.fail_point(data, *hosts):
        dag, run = stage.start("main")
        stage.client.wait_task(dag, run, "unlock_secondaries", "up_for_retry", timeout=PATIENCE)
    assert stage.client.wait(dag, run, timeout=PATIENCE) in ("success", "failed"), stage.explain(dag, run)
    assert stage.marks() == []
    assert stage.client.states(dag, run)["unlock_secondaries"] == "success"
