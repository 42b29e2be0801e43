"""Hooks, notifications, missed deadlines and metrics of a real Airflow's runs, good and failed ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tests.integration.airflow.opening import UNREADY
from tests.integration.airflow.stage import PATIENCE, Stage
from tests.integration.airflow.telling import events_of, hooks_of, mails_of, metrics_of, reason_of

from sandbox.mailbox import page
from sandbox.replica_set import Standalone

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = "backup.single.manual"


def test_a_good_backup(stage: Stage) -> None:
    stage.wait_quiet()
    stage.client.wait_for_dag(DAG)
    run = stage.client.trigger(DAG, logical_date=datetime.now(UTC))
    assert stage.client.wait(DAG, run, timeout=PATIENCE) == "success", stage.explain(DAG, run)
    assert hooks_of(stage, run) == [("before", "", None), ("success", "success", True), ("always", "success", True)]
    late = events_of(stage, run, "success", "late")["late"]["text"]
    assert late.startswith(f"{DAG} has no good run by its deadline: due 20"), late
    found = metrics_of(stage, "single", session="manual")
    assert found["mongo_backup_last_attempt_success"] == 1
    assert found["mongo_backup_sets"] >= 1
    assert found["mongo_backup_component_lock_held_seconds:standalone"] == 0
    assert found["mongo_backup_expected_interval_seconds"] == 366 * 86400
    assert found["mongo_backup_journal_marks:fsync_lock"] == 0
    for step in ("prepare", "hooks_before", "dump", "commit_snapshot", "apply_retention"):
        assert found[f"mongo_backup_step_duration_seconds:{step}"] > 0
    assert found["mongo_backup_last_attempt_duration_seconds"] > found["mongo_backup_step_duration_seconds:dump"]


def test_a_backup_that_fails_in_a_dump(stage: Stage, standalone: Standalone) -> None:
    """After a good one, of which the metrics still tell."""
    good = metrics_of(stage, "single", session="manual")["mongo_backup_last_success_timestamp_seconds"]
    stage.wait_quiet()
    standalone.client().unreadable.documents.insert_one({})
    data = {"failCommands": ["find"], "namespace": "unreadable.documents", "errorCode": 96}
    with stage.fail_point(data, *standalone.hosts(), deployment=standalone):
        run = stage.client.trigger(DAG)
        assert stage.client.wait(DAG, run, timeout=PATIENCE) == "failed"
    standalone.client().drop_database("unreadable")
    states = stage.client.states(DAG, run)
    assert (states["dump[0]"], states["commit_snapshot"], states["push_metrics"]) == ("failed", "skipped", "success")
    assert hooks_of(stage, run) == [("before", "", None), ("failure", "failure", False), ("always", "failure", False)]
    assert reason_of(stage, run).startswith("dump[0] failed, apply_retention"), reason_of(stage, run)
    told = events_of(stage, run, "failure")["failure"]["reason"]
    assert told.startswith("there is no snapshot of this run: dump[0] failed, "), told
    for words in (reason_of(stage, run), told):
        assert "; dump[0]: " in words
        assert "unreadable.documents" in words
    found = metrics_of(stage, "single", session="manual")
    assert found["mongo_backup_last_attempt_success"] == 0
    assert found["mongo_backup_last_success_timestamp_seconds"] == good
    assert found["mongo_backup_last_attempt_timestamp_seconds"] > good
    assert found["mongo_backup_step_duration_seconds:dump"] > 0


def test_a_backup_that_cannot_even_be_prepared(stage: Stage) -> None:
    """A Connection is missing: the first failure of most people. Also a deadline that is a time of day."""
    stage.wait_quiet()
    dag = f"backup.{UNREADY}.manual"
    run = stage.client.trigger(dag, logical_date=datetime(2024, 1, 1, 2, tzinfo=UTC))
    assert stage.client.wait(dag, run, timeout=PATIENCE) == "failed"
    states = stage.client.states(dag, run)
    assert (states["prepare"], states["hooks_before"]) == ("failed", "upstream_failed")
    assert (states["push_metrics"], states["hooks_after"]) == ("success", "success"), stage.explain(dag, run)
    assert hooks_of(stage, run) == [("failure", "failure", False), ("always", "failure", False)]
    missing = "prepare: there is no Airflow Connection 'nowhere'"
    assert missing in reason_of(stage, run)
    events, mails = events_of(stage, run, "failure", "late"), mails_of(stage, dag, count=2)
    assert events["failure"]["reason"].startswith("there is no snapshot of this run: prepare failed, ")
    assert missing in events["failure"]["reason"]
    due = "due 2024-01-01 06:00:00+00:00, the run of that time is "
    assert events["late"]["reason"].startswith(due), events["late"]
    assert missing.replace("'", "&#39;") in page(mails["failed"])
    assert due in page(mails["has no good run by its deadline"])
    found = metrics_of(stage, UNREADY, session="manual")
    assert found["mongo_backup_last_attempt_success"] == 0
    assert found["mongo_backup_expected_interval_seconds"] == 366 * 86400
    assert found["mongo_backup_step_duration_seconds:prepare"] > 0
    assert "mongo_backup_last_success_timestamp_seconds" not in found
