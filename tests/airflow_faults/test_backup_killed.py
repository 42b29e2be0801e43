"""A backup by a real Airflow whose processes are killed, ended or restarted: more than `make test` tries."""

from __future__ import annotations

import signal

import pytest
from tests.integration.airflow.judge import ends_honestly, ends_red
from tests.integration.airflow.stage import Stage, wait_gone

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]


def test_a_task_process_is_terminated_and_a_worker_killed(stage: Stage, before: set[str]) -> None:
    """SIGTERM of a task process, as from a machine that goes down: the agent undoes its marks. SIGKILL of a worker:
    Airflow misses its heartbeat; its task goes on until it has no one to report to."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        asked, left = stage.agent_of("shard0"), stage.agent_of("shard1")
        asked.parents()[1].send_signal(signal.SIGTERM)
        left.parents()[2].kill()
        wait_gone(asked, left)
    ends_red(stage, dag, run, before=before)


def test_a_dump_takes_too_long(stage: Stage, before: set[str]) -> None:
    with stage.slow_reads():
        dag, run = stage.start("hasty")
        ends_red(stage, dag, run, before=before)
    assert "time limit" in stage.client.log(dag, run, "dump[1]")


def test_the_api_server_is_restarted(stage: Stage, before: set[str]) -> None:
    """Tasks outlive a short outage; after three missed heartbeats Airflow ends them. Either is told as it is."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        stage.airflow.restart("api-server", kill=True)
    ends_honestly(stage, dag, run, before=before)


def test_the_scheduler_and_all_its_tasks_are_killed(stage: Stage, before: set[str]) -> None:
    """A machine dies and comes back: no agent survives. Airflow starts the lost tasks again, at the same time T."""
    with stage.slow_reads():
        dag, run = stage.start_and_wait_for_dumps()
        agents = stage.agents("backup.dump")
        stage.airflow.restart("scheduler", kill=True)
        wait_gone(*agents, timeout=60)
    ends_honestly(stage, dag, run, before=before)
