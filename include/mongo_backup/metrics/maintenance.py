"""Metrics of the maintenance of a repository (check, prune); one group for each repository."""

from __future__ import annotations

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.metrics.attempt import Attempt, AttemptMetrics
from mongo_backup.metrics.push import Metric, MetricGroup, push
from mongo_backup.model import Model

JOB = "mongo_backup_maintain"

RUN = AttemptMetrics(prefix=JOB, noun="maintenance", good="left the repository checked and pruned")
STORED = Metric(name="mongo_backup_repository_stored_bytes", words="Size of the repository in its storage.")
FREED = Metric(name="mongo_backup_repository_freed_bytes", words="Bytes that the last good maintenance removed.")
SETS = Metric(name="mongo_backup_repository_sets", words="Complete sets of all sessions in the repository.")
REFUSED = Metric(
    name="mongo_backup_repository_deletion_refused",
    words="1: the store did not let go of data in the last good maintenance; 0: it did.",
)
METRICS = (*RUN.all(), STORED, FREED, SETS, REFUSED)


class MaintenanceMetrics(Model):
    """What is told about one maintenance."""

    repository: str
    attempt: Attempt
    stored_bytes: int | None = None
    freed_bytes: int | None = None
    sets: int | None = None
    refused: bool | None = None
    """Whether the store refused to delete."""


def push_maintenance(gateway: str, metrics: MaintenanceMetrics) -> MetricsResult:
    """Push; see `mongo_backup.metrics.push`."""
    return push(gateway, maintenance_group(metrics), replace=metrics.attempt.success)


def maintenance_group(metrics: MaintenanceMetrics) -> MetricGroup:
    """All metrics of one maintenance."""
    group = MetricGroup(JOB, {"repository": metrics.repository})
    RUN.fill(group, metrics.attempt)
    if metrics.attempt.success:
        group.set(STORED, metrics.stored_bytes)
        group.set(FREED, metrics.freed_bytes)
        group.set(SETS, metrics.sets)
        group.set(REFUSED, metrics.refused)
    return group
