"""Metrics of a copy; one group for each copy of a session."""

from __future__ import annotations

from mongo_backup.agent.contract import CopyResult, MetricsResult
from mongo_backup.metrics.attempt import Attempt, AttemptMetrics
from mongo_backup.metrics.push import Metric, MetricGroup, push
from mongo_backup.model import Model

JOB = "mongo_backup_copy"

RUN = AttemptMetrics(prefix=JOB, noun="copying", good="left every set there that the copy's policy keeps")
NEWEST = Metric(
    name=f"{JOB}_newest_set_timestamp_seconds",
    words="When the newest set in the copy was complete in its source.",
)
SETS = Metric(name=f"{JOB}_sets", words="Complete sets of the session in the copy.")
COPIED = Metric(name=f"{JOB}_last_copied_sets", words="Sets that came in with the last good copying.")
READ = Metric(name=f"{JOB}_last_copied_bytes", words="Bytes of their archives, whatever was there already.")
REFUSED = Metric(name=f"{JOB}_refused_sets", words="Sets that no rule keeps and that the copy's store does not let go.")
METRICS = (
    RUN.timestamp,
    RUN.success,
    RUN.duration,
    RUN.last_success,
    RUN.interval,
    NEWEST,
    SETS,
    COPIED,
    READ,
    REFUSED,
)


class CopyMetrics(Model):
    """What is told about one copy after one backup."""

    configuration: str
    session: str
    copy_name: str
    attempt: Attempt
    done: CopyResult | None = None
    """None: it failed."""


def push_copy(gateway: str, metrics: CopyMetrics) -> MetricsResult:
    """Push; see `mongo_backup.metrics.push`."""
    return push(gateway, copy_group(metrics), replace=metrics.attempt.success)


def copy_group(metrics: CopyMetrics) -> MetricGroup:
    """All metrics of one copy."""
    key = {"configuration": metrics.configuration, "session": metrics.session, "copy": metrics.copy_name}
    group = MetricGroup(JOB, key)
    RUN.fill(group, metrics.attempt)
    if metrics.done is not None:
        group.set(NEWEST, metrics.done.newest_time)
        group.set(SETS, metrics.done.sets)
        group.set(COPIED, metrics.done.copied_sets)
        group.set(READ, metrics.done.bytes)
        group.set(REFUSED, metrics.done.refused_sets)
    return group
