"""Numbers about one restore, pushed to a Prometheus Pushgateway; see `mongo_backup.metrics.push` for the manners."""

from __future__ import annotations

import logging
from datetime import datetime
from http.client import HTTPException

from prometheus_client import CollectorRegistry, Gauge, pushadd_to_gateway

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.model import Model

log = logging.getLogger(__name__)

JOB = "mongo_backup_restore"
TIMEOUT_SECONDS = 10.0


class RestoreMetrics(Model):
    """What is told about one restore."""

    configuration: str
    target: str
    ended: datetime
    success: bool
    """Restored and equal to the manifest."""
    seconds: float
    """Of the slowest component's documents."""
    documents: int
    bytes: int
    verified_documents: int


def push_restore(gateway: str, metrics: RestoreMetrics) -> MetricsResult:
    """Push to the Pushgateway at this address; a gateway that does not take it is a reason in the result."""
    registry = CollectorRegistry()
    for name, help_text, value in (
        ("last_timestamp_seconds", "When the last restore ended", metrics.ended.timestamp()),
        ("last_success", "1: the last restore was equal to its manifest, 0: it was not", float(metrics.success)),
        ("duration_seconds", "How long the slowest component took", metrics.seconds),
        ("documents", "Documents that the last restore wrote", float(metrics.documents)),
        ("bytes", "Bytes of documents that the last restore wrote", float(metrics.bytes)),
        ("verified_documents", "Documents that were read back and compared", float(metrics.verified_documents)),
    ):
        Gauge(f"{JOB}_{name}", help_text, registry=registry).set(value)
    key = {"configuration": metrics.configuration, "target": metrics.target}
    try:
        pushadd_to_gateway(gateway, job=JOB, registry=registry, grouping_key=key, timeout=TIMEOUT_SECONDS)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"the Pushgateway at {gateway} did not take the metrics: {str(error)[:200] or type(error).__name__}"
        log.warning("%s", reason)
        return MetricsResult(pushed=False, reason=reason)
    return MetricsResult(pushed=True)
