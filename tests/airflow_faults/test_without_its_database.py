"""Airflow and its database are lost in the middle of a backup. The stage's Airflow is gone after it: the last file.

It waits a quarter of an hour: for a lease to end by itself, then for the schedule of a new watchdog.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.integration.airflow.judge import ends_honestly
from tests.integration.airflow.stage import PATIENCE, Stage

from mongo_backup.journal import LEASE_SECONDS
from sandbox.airflow import Airflow
from sandbox.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(1800)]


def test_the_database_is_lost(stage: Stage, before: set[str], dags: Path) -> None:
    """Everything of a running backup is killed, and Airflow with its database. A new one finds the marks by itself."""
    with stage.slow_reads():
        dag, _ = stage.start_and_wait_for_dumps()
        stage.kill_run(dag)
        lost = time.monotonic()
        for component in stage.airflow.components.values():
            component.kill()
    locked = stage.locked()
    assert len(locked) >= 2
    often = {"MONGO_BACKUP_RELEASE_SCHEDULE": "* * * * *"}
    with Airflow(objects=stage.objects, credentials=stage.credentials, dags=dags, settings=often) as airflow:
        after = Stage(cluster=stage.cluster, airflow=airflow, credentials=stage.credentials, objects=stage.objects)
        dag, run = after.start("main")
        after.client.wait_task(dag, run, "prepare", "up_for_reschedule", timeout=PATIENCE)
        after.client.pause(dag)  # the watchdog alone
        assert after.locked() == locked
        wait_until(lambda: not after.marks(), what="nothing is left", timeout=LEASE_SECONDS + 300, interval=2)
        print(f"undone {time.monotonic() - lost:.0f} s after the loss")
        after.client.pause(dag, False)
        ends_honestly(after, dag, run, before=before)
        assert after.client.run_state(dag, run) == "success", after.explain(dag, run)
