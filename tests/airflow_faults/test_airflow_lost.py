"""Airflow is not there to undo anything: its scheduler dies, its DAG is paused or gone."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from tests.integration.airflow.judge import ends_honestly, ends_red
from tests.integration.airflow.stage import PATIENCE, Stage

from sandbox.faults.agents import alive
from sandbox.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(1800)]


def dumps_are_through(stage: Stage, dag: str, run: str) -> None:
    for number in range(3):
        stage.client.wait_task(dag, run, f"dump[{number}]", "success", timeout=PATIENCE)


def watchdog_undoes(stage: Stage) -> None:
    """Nothing else does; and it does not as long as the run may be alive."""
    marks = stage.marks()
    assert [mark for mark in marks if "balancer is off" in mark], marks
    assert "Left alone, its run is alive" in stage.watch()
    assert stage.marks() == marks
    stage.end_leases()
    assert "Undone, its run is dead" in stage.watch()
    assert stage.marks() == []


def test_the_scheduler_dies_and_its_tasks_live(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        agents = stage.agents("backup.dump")
        keeper = psutil.Process(stage.airflow.components["scheduler"].pid)
        (service,) = keeper.children()
        (scheduler,) = service.children()
        scheduler.kill()
        wait_until(
            lambda: [one for one in service.children() if one.pid != scheduler.pid], what="it is back", timeout=60
        )
        assert all(map(alive, agents))
    ends_honestly(stage, dag, run, before=before)
    assert stage.client.run_state(dag, run) == "success", stage.explain(dag, run)
    assert {task.tries for task in stage.client.tasks(dag, run) if task.task == "dump"} == {1}


def test_the_dag_is_paused_in_the_middle(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        stage.client.pause(dag)
        dumps_are_through(stage, dag, run)
    watchdog_undoes(stage)
    stage.client.pause(dag, False)
    ends_red(stage, dag, run, before=before)  # others may have changed the target meanwhile
    assert "has lost its target to nobody: its run has ended" in stage.client.log(dag, run, "commit_snapshot")


def test_the_dag_file_is_gone_in_the_middle(stage: Stage, before: set[str], dags: Path) -> None:
    file = dags / "mongo_backup.py"
    text = file.read_text()
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        file.unlink()
        dumps_are_through(stage, dag, run)
    try:
        wait_until(lambda: dag not in stage.client.dags(), what="Airflow misses the DAG", timeout=120, interval=1)
        watchdog_undoes(stage)
    finally:
        file.write_text(text)
    ends_honestly(stage, dag, run, before=before)
