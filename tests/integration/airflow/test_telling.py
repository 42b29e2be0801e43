"""Hooks, notifications, a missed deadline and metrics of a real Airflow's run."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.airflow.stage import PATIENCE, Stage

from sandbox.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = "backup.single.manual"


def told(stage: Stage, path: str, **wanted: str) -> list[dict[str, Any]]:
    """The documents that came to a path."""
    assert stage.listener is not None
    documents = [json.loads(each.body) for each in stage.listener.seen if each.path == path]
    return [each for each in documents if wanted.items() <= each.items()]


def hooks_of(stage: Stage, run: str) -> list[tuple[str, str, Any]]:
    return [(each["hook"], each["outcome"], each["complete"]) for each in told(stage, "/hook", run=run)]


def events_of(stage: Stage, run: str, *expected: str) -> list[dict[str, Any]]:
    """Wait until these events of a run were told, and no others."""

    def there() -> list[dict[str, Any]]:
        found = told(stage, "/chat", run=run)
        return found if {each["event"] for each in found} >= set(expected) else []

    found = wait_until(there, what=f"{expected} of {run} are told", timeout=PATIENCE, interval=0.5)
    assert sorted(each["event"] for each in found) == sorted(expected)
    return found


def metrics(stage: Stage, job: str, **labels: str) -> dict[str, float]:
    """What the Pushgateway has of a group, by name, with `step` or the like behind a colon."""
    assert stage.pushgateway is not None
    own = {"job": job, "configuration": "single", **labels}
    return {
        ":".join(
            [sample.name, *(sample.labels[name] for name in ("step", "component", "kind") if name in sample.labels)]
        ): sample.value
        for family in text_string_to_metric_families(stage.pushgateway.metrics())
        for sample in family.samples
        if own.items() <= sample.labels.items()
    }


def test_a_good_backup(stage: Stage) -> None:
    stage.wait_quiet()
    stage.client.wait_for_dag(DAG)
    run = stage.client.trigger(DAG, logical_date=datetime.now(UTC))
    assert stage.client.wait(DAG, run, timeout=PATIENCE) == "success", stage.explain(DAG, run)
    assert hooks_of(stage, run) == [("before", "", None), ("success", "success", True), ("always", "success", True)]
    events = events_of(stage, run, "success", "late")
    late = next(each["text"] for each in events if each["event"] == "late")
    assert late.startswith(f"{DAG} has no good run by its deadline: due 20"), late
    found = metrics(stage, "mongo_backup", session="manual")
    assert found["mongo_backup_last_attempt_success"] == 1
    assert found["mongo_backup_sets"] >= 1
    assert found["mongo_backup_component_lock_held_seconds:standalone"] == 0
    assert found["mongo_backup_expected_interval_seconds"] == 366 * 86400
    assert found["mongo_backup_journal_marks:fsync_lock"] == 0
    for step in ("prepare", "hooks_before", "dump", "commit_snapshot", "apply_retention"):
        assert found[f"mongo_backup_step_duration_seconds:{step}"] > 0
    assert found["mongo_backup_last_attempt_duration_seconds"] > found["mongo_backup_step_duration_seconds:dump"]
