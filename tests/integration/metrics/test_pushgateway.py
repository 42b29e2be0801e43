"""Metrics at a real Pushgateway: what stays after which run, and what goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mongo_backup.agent.contract import CopyResult, DumpResult
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.backup import BackupMetrics, push_backup, push_marks
from mongo_backup.metrics.copies import CopyMetrics, push_copy
from mongo_backup.metrics.maintenance import MaintenanceMetrics, push_maintenance
from mongo_backup.metrics.restore import RestoreMetrics, push_restore
from mongo_backup.metrics.verification import VerificationMetrics, push_verification
from mongo_backup.objects.configuration import Consistency
from sandbox.promtool import promtool
from sandbox.pushgateway import Pushgateway

pytestmark = pytest.mark.integration

ENDED = datetime(2024, 1, 1, tzinfo=UTC)
LATER = ENDED + timedelta(hours=1)


@pytest.fixture
def gateway() -> Iterator[Pushgateway]:
    with Pushgateway() as gateway:
        yield gateway


def values(gateway: Pushgateway, **group: str) -> dict[str, float]:
    """Of one group, by name without the prefix, with further labels behind colons."""
    return {
        ":".join([sample.name.removeprefix("mongo_backup_"), *further]): sample.value
        for family in text_string_to_metric_families(gateway.metrics())
        for sample in family.samples
        if sample.name.startswith("mongo_backup_") and group.items() <= sample.labels.items()
        for further in [[v for k, v in sample.labels.items() if k not in group and k not in ("job", "instance")]]
    }


SHOP = {"job": "mongo_backup", "configuration": "shop", "session": "nightly"}


def dump(component: str, locked: float | None) -> DumpResult:
    return DumpResult(
        component=component,
        archive_id="a",
        inventory_id="i",
        archive_file="/a",
        engine="native",
        consistency=Consistency.LOCKED,
        documents=3,
        bytes=100,
        bytes_added=10,
        collections=1,
        seconds=2,
        read_seconds=1,
        locked_seconds=locked,
    )


def attempt(ended: datetime, *, success: bool, **more: Any) -> Attempt:
    return Attempt(ended=ended, success=success, seconds=9, expected_interval_seconds=86400, **more)


def good(*dumps: DumpResult, **more: Any) -> BackupMetrics:
    return BackupMetrics(
        configuration="shop",
        session="nightly",
        attempt=attempt(ENDED, success=True, step_seconds={"dump": 2, "prepare": 1}),
        lock_limit_seconds=3600,
        consistency=Consistency.LOCKED,
        server_version="6.0.5",
        cluster_time=ClusterTime(t=1700000000, i=1),
        lock_skew_seconds=0.05,
        dumps=dumps,
        suspicious=False,
        sets=4,
        **more,
    )


EXPECTED = {
    "last_attempt_timestamp_seconds": ENDED.timestamp(),
    "last_attempt_success": 1,
    "last_attempt_duration_seconds": 9,
    "last_success_timestamp_seconds": ENDED.timestamp(),
    "expected_interval_seconds": 86400,
    "lock_limit_seconds": 3600,
    "step_duration_seconds:prepare": 1,
    "step_duration_seconds:dump": 2,
    "sets": 4,
    "set_documents": 6,
    "set_read_bytes": 200,
    "set_added_bytes": 20,
    "set_suspicious": 0,
    "set_info:locked:6.0.5": 1,
    "restorable_timestamp_seconds": 1.7e9,
    "set_lock_skew_seconds": 0.05,
    **{
        f"component_{name}:{component}": value
        for component in ("a", "b")
        for name, value in (("documents", 3), ("read_bytes", 100), ("added_bytes", 10), ("duration_seconds", 2))
    },
    "component_lock_held_seconds:a": 1.5,
    "component_lock_held_seconds:b": 0,
}


def test_a_failure_leaves_the_last_success(gateway: Pushgateway) -> None:
    assert push_backup(gateway.url, good(dump("a", 1.5), dump("b", None))).pushed
    assert values(gateway, **SHOP) == EXPECTED
    bad = BackupMetrics(
        configuration="shop",
        session="nightly",
        attempt=attempt(LATER, success=False, step_seconds={"prepare": 7}),
    )
    assert push_backup(gateway.url, bad).pushed
    told = {
        "last_attempt_timestamp_seconds": LATER.timestamp(),
        "last_attempt_success": 0,
        "step_duration_seconds:prepare": 7,
    }
    rest = {name: value for name, value in EXPECTED.items() if name != "step_duration_seconds:dump"}
    assert values(gateway, **SHOP) == {**rest, **told}
    assert values(gateway, **{**SHOP, "session": "hourly"}) == {}


def test_what_is_not_there_any_more_goes_with_the_next_success(gateway: Pushgateway) -> None:
    assert push_backup(gateway.url, good(dump("a", 1.5), dump("gone", 1))).pushed
    assert push_backup(gateway.url, good(dump("a", 1.5)).model_copy(update={"cluster_time": None})).pushed
    found = values(gateway, **SHOP)
    assert not [name for name in found if name.endswith(":gone")]
    assert "restorable_timestamp_seconds" not in found
    assert found["component_documents:a"] == 3


def test_marks_are_told_beside_the_rest(gateway: Pushgateway) -> None:
    assert push_backup(gateway.url, good(dump("a", 1.5), dump("b", None))).pushed
    for balancer in (1, 0):
        told = {"balancer": balancer, "fsync_lock": 0}
        assert push_marks(gateway.url, configuration="shop", session="nightly", marks=told).pushed
        marks = {f"journal_marks:{kind}": count for kind, count in told.items()}
        assert values(gateway, **SHOP) == {**EXPECTED, **marks}


def test_other_subjects_have_groups_of_their_own(gateway: Pushgateway) -> None:
    """A backup that replaces its group takes nothing of theirs, and each keeps its last success after a failure."""
    verified = VerificationMetrics(
        configuration="shop", attempt=attempt(ENDED, success=True), cluster_time=ClusterTime(t=1600000000, i=1)
    )
    restored = RestoreMetrics(
        configuration="shop", target="shop", attempt=attempt(ENDED, success=True), component_seconds={"a": 4}
    )
    kept = MaintenanceMetrics(repository="shop", attempt=attempt(ENDED, success=True), stored_bytes=5)
    failed = attempt(LATER, success=False)
    assert push_verification(gateway.url, verified).pushed
    assert push_restore(gateway.url, restored).pushed
    assert push_maintenance(gateway.url, kept).pushed
    assert push_backup(gateway.url, good(dump("a", 1))).pushed
    assert push_verification(gateway.url, VerificationMetrics(configuration="shop", attempt=failed)).pushed
    assert push_restore(gateway.url, RestoreMetrics(configuration="shop", target="shop", attempt=failed)).pushed
    assert push_maintenance(gateway.url, MaintenanceMetrics(repository="shop", attempt=failed)).pushed
    found = {
        **values(gateway, job="mongo_backup_verify", configuration="shop"),
        **values(gateway, job="mongo_backup_restore", configuration="shop", target="shop"),
        **values(gateway, job="mongo_backup_maintain", repository="shop"),
    }
    assert found["verified_timestamp_seconds"] == 1.6e9
    assert found["restore_component_duration_seconds:a"] == 4
    assert found["repository_stored_bytes"] == 5
    for noun in ("verify", "restore", "maintain"):
        assert found[f"{noun}_last_attempt_success"] == 0
        assert found[f"{noun}_last_success_timestamp_seconds"] == ENDED.timestamp()


def test_promtool_takes_what_the_pushgateway_shows(gateway: Pushgateway) -> None:
    assert push_backup(gateway.url, good(dump("a", 1.5))).pushed
    text = "\n".join(line for line in gateway.metrics().splitlines() if " mongo_backup_" in f" {line}")
    assert promtool("check", "metrics", text=text + "\n") == ""


def test_a_gateway_that_is_away_is_a_reason_and_no_error(gateway: Pushgateway) -> None:
    gateway.stop()
    result = push_backup(gateway.url, good())
    assert not result.pushed
    assert result.reason is not None
    assert "Connection refused" in result.reason


def test_a_copy_that_fails_keeps_what_is_known_of_its_last_success(gateway: Pushgateway) -> None:
    group = {"job": "mongo_backup_copy", "configuration": "shop", "session": "nightly", "copy": "offsite"}
    names = {"configuration": "shop", "session": "nightly", "copy_name": "offsite"}
    came: dict[str, Any] = {"copied": ("a", "b"), "copied_sets": 30, "refused": ("c",), "refused_sets": 25, "bytes": 9}
    done = CopyResult(copy_name="offsite", sets=3, newest_time=ENDED.timestamp(), seconds=1, **came)
    good = Attempt(ended=ENDED, success=True, seconds=1)
    assert push_copy(gateway.url, CopyMetrics(attempt=good, done=done, **names)).pushed
    assert push_copy(gateway.url, CopyMetrics(attempt=Attempt(ended=LATER, success=False, seconds=2), **names)).pushed
    found = values(gateway, **group)
    assert found["copy_last_attempt_success"] == 0
    assert found["copy_last_attempt_timestamp_seconds"] == LATER.timestamp()
    assert found["copy_last_success_timestamp_seconds"] == found["copy_newest_set_timestamp_seconds"]
    assert (found["copy_sets"], found["copy_last_copied_sets"], found["copy_last_copied_bytes"]) == (3, 30, 9)
    assert found["copy_refused_sets"] == 25, "the result names the first ones alone"
