"""Numbers about one backup, pushed to a Prometheus Pushgateway (https://github.com/prometheus/pushgateway).

The grouping key is configuration and session; a push replaces the metrics of the same name in its group only
(`PUT`/`POST` as the Pushgateway's API says), so a failed backup leaves the last success where it is. A push never turns
a good backup into a bad one: what goes wrong is a reason in the result.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from datetime import datetime
from http.client import HTTPException

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.manifest.model import Manifest
from mongo_backup.model import Model

logger = logging.getLogger(__name__)

JOB = "mongo_backup"
TIMEOUT_SECONDS = 10.0


class BackupMetrics(Model):
    """What is told about one backup."""

    configuration: str
    session: str
    ended: datetime
    success: bool
    seconds: float
    """From the start of the backup to now."""
    manifest: Manifest | None = None
    """Of the set that was made; None: there is none."""
    sets_kept: int | None = None
    """Complete sets of the session after retention."""


def push_metrics(gateway: str, metrics: BackupMetrics) -> MetricsResult:
    """Push to the Pushgateway at this address; never raises for a gateway that does not take it."""
    registry = registry_of(metrics)
    key = {"configuration": metrics.configuration, "session": metrics.session}
    try:
        pushadd_to_gateway(gateway, job=JOB, registry=registry, grouping_key=key, timeout=TIMEOUT_SECONDS)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"the Pushgateway at {gateway} did not take the metrics: {str(error)[:200] or type(error).__name__}"
        logger.warning("%s", reason)
        return MetricsResult(pushed=False, reason=reason)
    logger.info("metrics are at %s", gateway)
    return MetricsResult(pushed=True)


def registry_of(metrics: BackupMetrics) -> CollectorRegistry:
    """All metrics of one backup, as a Prometheus would read them."""
    registry = CollectorRegistry()
    _gauge(registry, "last_attempt_timestamp_seconds", "When the last backup ended", metrics.ended.timestamp())
    _gauge(registry, "last_attempt_success", "1: the last backup made a complete set, 0: it did not", metrics.success)
    _gauge(registry, "last_attempt_duration_seconds", "How long the last backup took", metrics.seconds)
    if metrics.sets_kept is not None:
        _gauge(registry, "sets", "Complete sets of the session in the repository", metrics.sets_kept)
    if metrics.success:
        _gauge(
            registry, "last_success_timestamp_seconds", "When the last complete set was made", metrics.ended.timestamp()
        )
    if metrics.success and metrics.manifest is not None:
        _set_gauges(registry, metrics.manifest)
    return registry


def _set_gauges(registry: CollectorRegistry, manifest: Manifest) -> None:
    added = sum(each.bytes_added for each in manifest.components)
    point = manifest.cluster_time.t if manifest.cluster_time else math.nan
    skew = math.nan if manifest.lock_skew_seconds is None else manifest.lock_skew_seconds
    # Not a number, and not nothing: the value of an older set would stay there.
    _gauge(registry, "set_cluster_time_seconds", "Cluster time of the last set", point)
    _gauge(registry, "set_lock_skew_seconds", "Between the first and the last lock", skew)
    _gauge(registry, "set_documents", "Documents in the last set", manifest.documents)
    _gauge(registry, "set_read_bytes", "Bytes of the last set's archives", manifest.bytes)
    _gauge(registry, "set_added_bytes", "Bytes of the last set that were new to the repository", added)
    parts = [(each.name, each) for each in manifest.components]
    by_component = (
        ("component_documents", "Documents in the archive", [(name, each.documents) for name, each in parts]),
        ("component_read_bytes", "Size of the archive", [(name, each.bytes) for name, each in parts]),
        ("component_duration_seconds", "How long the dump took", [(name, each.seconds) for name, each in parts]),
        (
            "component_locked_seconds",
            "How long the member was locked",
            [(name, each.locked_seconds) for name, each in parts],
        ),
    )
    for name, help_text, values in by_component:
        _component_gauge(registry, name, help_text, values)


def _gauge(registry: CollectorRegistry, name: str, help_text: str, value: float) -> None:
    Gauge(f"{JOB}_{name}", help_text, registry=registry).set(float(value))


def _component_gauge(
    registry: CollectorRegistry, name: str, help_text: str, values: Iterable[tuple[str, float | None]]
) -> None:
    gauge = Gauge(f"{JOB}_{name}", help_text, ["component"], registry=registry)
    for component, value in values:
        if value is not None:
            gauge.labels(component).set(float(value))
