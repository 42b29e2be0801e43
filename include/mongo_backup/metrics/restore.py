"""Metrics of a restore; one group for each configuration and target."""

from __future__ import annotations

from pydantic import Field

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.metrics.attempt import Attempt, AttemptMetrics
from mongo_backup.metrics.push import Metric, MetricGroup, push
from mongo_backup.model import Model

JOB = "mongo_backup_restore"

RUN = AttemptMetrics(prefix=JOB, noun="restore", good="was equal to its manifest")
DOCUMENTS = Metric(name=f"{JOB}_documents", words="Documents that the last good restore wrote.")
WRITTEN = Metric(name=f"{JOB}_written_bytes", words="Bytes of documents that the last good restore wrote.")
COMPARED = Metric(
    name=f"{JOB}_compared_documents", words="Documents that the last good restore read back and compared."
)
COMPONENT = Metric(
    name=f"{JOB}_component_duration_seconds",
    words="How long the documents of a component took in the last good restore.",
    labels=("component",),
)
METRICS = (*RUN.all(), DOCUMENTS, WRITTEN, COMPARED, COMPONENT)


class RestoreMetrics(Model):
    """What is told about one restore."""

    configuration: str
    target: str
    attempt: Attempt
    documents: int = 0
    bytes: int = 0
    compared_documents: int = 0
    component_seconds: dict[str, float] = Field(default_factory=dict)


def push_restore(gateway: str, metrics: RestoreMetrics) -> MetricsResult:
    """Push; see `mongo_backup.metrics.push`."""
    return push(gateway, restore_group(metrics), replace=metrics.attempt.success)


def restore_group(metrics: RestoreMetrics) -> MetricGroup:
    """All metrics of one restore."""
    group = MetricGroup(JOB, {"configuration": metrics.configuration, "target": metrics.target})
    RUN.fill(group, metrics.attempt)
    if metrics.attempt.success:
        group.set(DOCUMENTS, metrics.documents)
        group.set(WRITTEN, metrics.bytes)
        group.set(COMPARED, metrics.compared_documents)
        for component, seconds in metrics.component_seconds.items():
            group.set(COMPONENT, seconds, component=component)
    return group
