"""A backup by a real Airflow that is disturbed: the run is red and nothing is left on the target.

Each test is a row of what can happen to a running backup. The dumps are made slow, so that they are sure to be running.
What takes minutes is in `tests/airflow_faults`.
"""

from __future__ import annotations

import threading

import pytest
from tests.integration.airflow.judge import ends_red
from tests.integration.airflow.stage import PATIENCE, Stage, wait_gone

from sandbox.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]


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


@pytest.mark.parametrize(
    ("command", "where", "task"),
    [
        ("fsync", "shard0", "lock_secondaries"),
        pytest.param("fsync", "config", "lock_config_server", marks=pytest.mark.long),
        pytest.param("_configsvrBalancerStop", "config", "disable_balancer", marks=pytest.mark.long),
        pytest.param("replSetGetStatus", "shard0", "prepare", marks=pytest.mark.long),
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


def test_a_task_process_and_an_agent_are_killed(stage: Stage, before: set[str]) -> None:
    """SIGKILL. Of a task process: Airflow calls no `on_kill`, the agent ends with its parent and undoes its marks.
    Of an agent: it cannot undo anything itself, the teardowns do."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        orphan, victim = stage.agent_of("shard0"), stage.agent_of("shard1")
        orphan.parents()[1].kill()
        victim.kill()
        wait_gone(orphan, victim)
    ends_red(stage, dag, run, before=before)
    states = stage.client.states(dag, run)
    assert (states["dump[1]"], states["dump[2]"]) == ("failed", "failed")


@pytest.mark.long
def test_a_killed_task_is_tried_again_and_never_overlaps(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps("patient")
        together: list[int] = []
        watching = threading.Event()

        def watch() -> None:
            while not watching.wait(0.1):
                together.append(len(stage.agents("backup.dump")))

        watcher = threading.Thread(target=watch)
        watcher.start()
        stage.agent_of("shard0").parents()[1].kill()
        state = stage.client.wait(dag, run, timeout=PATIENCE)
        watching.set()
        watcher.join()
    assert max(together) <= 3
    tries = {task.name: task.tries for task in stage.client.tasks(dag, run) if task.task == "dump"}
    assert sorted(tries.values()) == [1, 1, 2]
    # The second try reads at the time of the first: under the lock if it is still there, else by the history.
    assert state == "success", stage.explain(dag, run)
    assert stage.marks() == []
    assert len(stage.complete_sets() - before) == 1
