"""Which numbers are told, and that Prometheus' own checker has nothing against their names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.backup import BackupMetrics, backup_group, push_backup
from mongo_backup.metrics.catalogue import SUBJECTS, SubjectMetrics
from mongo_backup.metrics.maintenance import MaintenanceMetrics, maintenance_group
from mongo_backup.metrics.push import MetricGroup
from mongo_backup.metrics.verification import VerificationMetrics, verification_group
from sandbox.promtool import promtool

ENDED = datetime(2024, 1, 1, tzinfo=UTC)


def attempt(*, success: bool) -> Attempt:
    return Attempt(ended=ENDED, success=success, seconds=12.5, step_seconds={"dump": 3})


def backup(*, success: bool) -> BackupMetrics:
    return BackupMetrics(configuration="shop", session="nightly", attempt=attempt(success=success))


def lines(group: MetricGroup) -> set[str]:
    text = generate_latest(group.registry).decode()
    return {line for line in text.splitlines() if not line.startswith("#")}


def test_a_failed_backup_says_nothing_about_success() -> None:
    assert lines(backup_group(backup(success=False))) == {
        "mongo_backup_last_attempt_timestamp_seconds 1.7040672e+09",
        "mongo_backup_last_attempt_success 0.0",
        "mongo_backup_last_attempt_duration_seconds 12.5",
        'mongo_backup_step_duration_seconds{step="dump"} 3.0',
    }


def test_a_success() -> None:
    found = lines(backup_group(backup(success=True)))
    assert "mongo_backup_last_success_timestamp_seconds 1.7040672e+09" in found
    assert not [line for line in found if "restorable" in line or "suspicious" in line]  # nobody knows: not told


@pytest.mark.parametrize("success", [True, False])
def test_what_a_failure_leaves_alone(success: bool) -> None:
    verified = VerificationMetrics(configuration="shop", attempt=attempt(success=success), documents=5)
    maintained = MaintenanceMetrics(repository="shop", attempt=attempt(success=success), stored_bytes=7)
    assert ("mongo_backup_verify_documents 5.0" in lines(verification_group(verified))) is success
    assert ("mongo_backup_repository_stored_bytes 7.0" in lines(maintenance_group(maintained))) is success


def test_a_gateway_that_is_no_address_is_a_reason_and_no_error() -> None:
    result = push_backup("http://no such host", backup(success=True))
    assert not result.pushed
    assert result.reason
    assert "did not take the metrics" in result.reason


def test_names_are_each_told_once() -> None:
    names = [metric.name for subject in SUBJECTS for metric in subject.metrics]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: str(subject.subject))
def test_names_keep_the_rules_of_prometheus(subject: SubjectMetrics) -> None:
    group = MetricGroup(subject.job, {})
    for metric in subject.metrics:
        group.set(metric, 1, **dict.fromkeys(metric.labels, "x"))
    assert promtool("check", "metrics", text=generate_latest(group.registry).decode()) == ""
