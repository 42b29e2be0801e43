"""Which numbers are told about a backup."""

from __future__ import annotations

from datetime import UTC, datetime

from prometheus_client import generate_latest

from mongo_backup.metrics.push import BackupMetrics, push_metrics, registry_of

ENDED = datetime(2024, 1, 1, tzinfo=UTC)


def metrics(*, success: bool) -> BackupMetrics:
    return BackupMetrics(configuration="shop", session="nightly", ended=ENDED, success=success, seconds=12.5)


def lines(of: BackupMetrics) -> set[str]:
    text = generate_latest(registry_of(of)).decode()
    return {line for line in text.splitlines() if not line.startswith("#")}


def test_a_failed_attempt_says_nothing_about_success() -> None:
    assert lines(metrics(success=False)) == {
        "mongo_backup_last_attempt_timestamp_seconds 1.7040672e+09",
        "mongo_backup_last_attempt_success 0.0",
        "mongo_backup_last_attempt_duration_seconds 12.5",
    }


def test_a_success() -> None:
    assert "mongo_backup_last_success_timestamp_seconds 1.7040672e+09" in lines(metrics(success=True))


def test_a_gateway_that_is_no_address_is_a_reason_and_no_error() -> None:
    result = push_metrics("http://no such host", metrics(success=True))
    assert not result.pushed
    assert result.reason
    assert "did not take the metrics" in result.reason
