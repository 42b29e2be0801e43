"""Metrics at a real Pushgateway."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mongo_backup.manifest.model import ClusterTime, ComponentRecord, Manifest
from mongo_backup.metrics.push import BackupMetrics, push_metrics
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode
from sandbox.pushgateway import Pushgateway

pytestmark = pytest.mark.integration

ENDED = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def gateway() -> Iterator[Pushgateway]:
    with Pushgateway() as gateway:
        yield gateway


def values(gateway: Pushgateway, session: str = "nightly") -> dict[str, float]:
    """By name without the prefix, with the component behind a colon."""
    return {
        sample.name.removeprefix("mongo_backup_")
        + (f":{sample.labels['component']}" if "component" in sample.labels else ""): sample.value
        for family in text_string_to_metric_families(gateway.metrics())
        for sample in family.samples
        if sample.name.startswith("mongo_backup_")
        and (sample.labels["job"], sample.labels["configuration"], sample.labels["session"])
        == ("mongo_backup", "shop", session)
    }


def component(name: str, locked: float | None) -> ComponentRecord:
    member = ChosenMember(component=name, role=ComponentRole.SHARD, host="a:1", state="SECONDARY", mode=ReadMode.LOCK)
    return ComponentRecord(
        name=name,
        role=ComponentRole.SHARD,
        member=member,
        engine="native",
        consistency=Consistency.LOCKED,
        archive_id="a",
        archive_file="/a",
        documents=3,
        bytes=100,
        bytes_added=10,
        seconds=2,
        read_seconds=1,
        locked_seconds=locked,
    )


def manifest(*components: ComponentRecord, cluster_time: ClusterTime | None) -> Manifest:
    return Manifest(
        set_id="s",
        configuration="shop",
        session="nightly",
        started=ENDED,
        finished=ENDED,
        topology=TopologyKind.SHARDED,
        server_version="6.0.5",
        consistency=Consistency.LOCKED,
        cluster_time=cluster_time,
        lock_skew_seconds=0.05,
        components=components,
        core_version="0",
        restic_version="0",
    )


def test_a_success_and_a_failure_after_it(gateway: Pushgateway) -> None:
    made = manifest(component("a", 1.5), component("b", None), cluster_time=ClusterTime(t=1700000000, i=1))
    good = BackupMetrics(
        configuration="shop", session="nightly", ended=ENDED, success=True, seconds=9, manifest=made, sets_kept=4
    )
    assert push_metrics(gateway.url, good).pushed
    expected = {
        "last_attempt_timestamp_seconds": ENDED.timestamp(),
        "last_attempt_success": 1,
        "last_attempt_duration_seconds": 9,
        "last_success_timestamp_seconds": ENDED.timestamp(),
        "sets": 4,
        "set_documents": 6,
        "set_read_bytes": 200,
        "set_added_bytes": 20,
        "set_cluster_time_seconds": 1.7e9,
        "set_lock_skew_seconds": 0.05,
        "component_locked_seconds:a": 1.5,
        "component_documents:a": 3,
        "component_documents:b": 3,
        "component_read_bytes:a": 100,
        "component_read_bytes:b": 100,
        "component_duration_seconds:a": 2,
        "component_duration_seconds:b": 2,
    }
    assert values(gateway) == expected

    later = ENDED + timedelta(hours=1)
    bad = BackupMetrics(configuration="shop", session="nightly", ended=later, success=False, seconds=1)
    assert push_metrics(gateway.url, bad).pushed
    attempt = {
        "last_attempt_timestamp_seconds": later.timestamp(),
        "last_attempt_success": 0,
        "last_attempt_duration_seconds": 1,
    }
    assert values(gateway) == {**expected, **attempt}
    assert values(gateway, "hourly") == {}


def test_a_gateway_that_is_away_is_a_reason_and_no_error(gateway: Pushgateway) -> None:
    gateway.stop()
    result = push_metrics(
        gateway.url, BackupMetrics(configuration="shop", session="nightly", ended=ENDED, success=True, seconds=1)
    )
    assert not result.pushed
    assert result.reason is not None
    assert "Connection refused" in result.reason
