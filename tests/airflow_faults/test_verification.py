"""A real Airflow verifies what it backs up without anybody asking, after each second backup; and tells of it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.airflow.opening import PROVEN
from tests.integration.airflow.stage import PATIENCE, Stage
from tests.integration.airflow.telling import events_of, metrics_of

from sandbox import objects
from sandbox.replica_set import Standalone
from sandbox.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(1800)]

BACKUP, VERIFY = f"backup.{PROVEN}.manual", f"verify.{PROVEN}"


def back_up(stage: Stage) -> tuple[str, str]:
    """Make a backup; the ids of its run and its set."""
    run = stage.client.trigger(BACKUP, logical_date=datetime.now(UTC))
    assert stage.client.wait(BACKUP, run, timeout=PATIENCE) == "success", stage.explain(BACKUP, run)
    return run, str(stage.client.result(BACKUP, run, "commit_snapshot")["set_id"])


def verifications(stage: Stage) -> list[dict[str, Any]]:
    """All runs of the verification, the oldest first."""
    found: list[dict[str, Any]] = stage.client.request("GET", f"dags/{VERIFY}/dagRuns")["dag_runs"]
    return sorted(found, key=lambda run: str(run["run_after"]))


def ended(stage: Stage, *, count: int) -> tuple[str, str]:
    """Wait until there are so many verifications, and for the end of the last; its id and state."""
    wait_until(lambda: len(verifications(stage)) >= count, what=f"{count} verifications", timeout=PATIENCE, interval=1)
    assert len(verifications(stage)) == count
    run = verifications(stage)[-1]
    assert run["run_type"] == "asset_triggered"
    name = str(run["dag_run_id"])
    return name, stage.client.wait(VERIFY, name, timeout=PATIENCE)


def deadlines(stage: Stage, run: str) -> int:
    """How many deadlines of a backup stand. Airflow tells it nobody but its UI, so its database is asked."""
    query = "SELECT count(*) FROM deadline JOIN dag_run ON dag_run.id = deadline.dagrun_id WHERE run_id = ?"
    with closing(sqlite3.connect(f"file:{stage.airflow.home / 'airflow.db'}?mode=ro", uri=True)) as database:
        return int(database.execute(query, (run,)).fetchone()[0])


def listed(stage: Stage, folder: Path) -> dict[str, Any]:
    """What `mongo-backup snapshots list` says of each set's verification."""
    credentials = folder / "credentials.json"
    credentials.touch(mode=0o600)
    credentials.write_text(objects.credentials_document(stage.credentials), "utf-8")
    command = [sys.executable, "-m", "mongo_backup", "snapshots", "list", PROVEN, "--objects", str(stage.objects)]
    done = subprocess.run(
        [*command, "--credentials", str(credentials), "--output", "json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {each["set_id"]: each["verdict"] for each in json.loads(done.stdout)}


def test_every_second_backup_is_verified(stage: Stage, standalone: Standalone, tmp_path: Path) -> None:
    stage.wait_quiet()
    for dag in (BACKUP, VERIFY):
        stage.client.wait_for_dag(dag)
    orders = standalone.client()[PROVEN].orders
    orders.insert_many([{"_id": number} for number in range(3)])
    run, first = back_up(stage)
    assert deadlines(stage, run) == 0, "the run is green hours before its deadline, and nobody has taken that back"
    _, second = back_up(stage)
    run, state = ended(stage, count=1)
    assert state == "success", stage.explain(VERIFY, run)
    assert stage.client.result(VERIFY, run, "restore_and_compare")["set_id"] == second
    assert listed(stage, tmp_path) == {first: None, second: "verified"}
    assert events_of(stage, run, "success")["success"]["dag"] == VERIFY
    good = metrics_of(stage, PROVEN, "mongo_backup_verify")
    assert good["mongo_backup_verify_last_attempt_success"] == 1
    assert (good["mongo_backup_verify_documents"], good["mongo_backup_verify_checks"]) == (3, 1)

    orders.delete_one({"_id": 0})  # the configuration's own check asks for three
    _, third = back_up(stage)
    _, fourth = back_up(stage)
    run, state = ended(stage, count=2)
    assert state == "failed"
    states = stage.client.states(VERIFY, run)
    assert (states["restore_and_compare"], states["push_metrics"]) == ("failed", "success")
    assert listed(stage, tmp_path) == {first: None, second: "verified", third: None, fourth: "failed"}
    told = events_of(stage, run, "failure")["failure"]["reason"]
    assert told.startswith("the snapshot is not verified"), told
    assert "restore_and_compare failed" in told
    assert f"three orders ({PROVEN}.orders: 2 documents instead of 3)" in told, told
    bad = metrics_of(stage, PROVEN, "mongo_backup_verify")
    last = "mongo_backup_verify_last_success_timestamp_seconds"
    assert bad["mongo_backup_verify_last_attempt_success"] == 0
    assert bad["mongo_backup_verify_last_attempt_timestamp_seconds"] > bad[last] == good[last]
