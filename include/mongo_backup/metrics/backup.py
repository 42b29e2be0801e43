"""Metrics of a backup; one group for each session of a configuration."""

from __future__ import annotations

from collections.abc import Mapping

from mongo_backup.agent.contract import DumpResult, MetricsResult
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.metrics.attempt import Attempt, AttemptMetrics
from mongo_backup.metrics.push import Metric, MetricGroup, push
from mongo_backup.model import Model
from mongo_backup.objects.configuration import Consistency

JOB = "mongo_backup"

RUN = AttemptMetrics(prefix=JOB, noun="backup", good="made a complete set")
MARKS = Metric(
    name=f"{JOB}_journal_marks",
    words="What the last run, or a dead one, left on the target to be undone: locks, history windows, the balancer.",
    labels=("kind",),
)
LOCK_LIMIT = Metric(name=f"{JOB}_lock_limit_seconds", words="The session's `max_lock_time`.")
RESTORABLE = Metric(
    name=f"{JOB}_restorable_timestamp_seconds",
    words="Cluster time of the newest complete set: what a restore brings back. Not there without a cluster time.",
)
SKEW = Metric(name=f"{JOB}_set_lock_skew_seconds", words="Between the first and the last lock of the last set.")
SET_DOCUMENTS = Metric(name=f"{JOB}_set_documents", words="Documents in the last set.")
SET_READ = Metric(name=f"{JOB}_set_read_bytes", words="Bytes of the last set's archives.")
SET_ADDED = Metric(name=f"{JOB}_set_added_bytes", words="Bytes of the last set that were new to the repository.")
SUSPICIOUS = Metric(
    name=f"{JOB}_set_suspicious", words="1: the last set differs wildly from those before it; 0: it does not."
)
SET_INFO = Metric(
    name=f"{JOB}_set_info",
    words="Always 1; the labels say what was achieved for the last set, and of which server.",
    labels=("consistency", "server_version"),
)
SETS = Metric(name=f"{JOB}_sets", words="Complete sets of the session in the repository.")
DOCUMENTS = Metric(
    name=f"{JOB}_component_documents", words="Documents in the last archive of a component.", labels=("component",)
)
READ = Metric(
    name=f"{JOB}_component_read_bytes", words="Size of the last archive of a component.", labels=("component",)
)
ADDED = Metric(
    name=f"{JOB}_component_added_bytes",
    words="Bytes of the last archive of a component that were new to the repository.",
    labels=("component",),
)
DURATION = Metric(
    name=f"{JOB}_component_duration_seconds",
    words="How long the last dump of a component took.",
    labels=("component",),
)
LOCKED = Metric(
    name=f"{JOB}_component_lock_held_seconds",
    words="How long the member was locked for the last dump of a component; 0: it was not.",
    labels=("component",),
)
METRICS = (
    *RUN.all(),
    *(MARKS, LOCK_LIMIT, RESTORABLE, SKEW, SET_DOCUMENTS, SET_READ, SET_ADDED, SUSPICIOUS, SET_INFO, SETS),
    *(DOCUMENTS, READ, ADDED, DURATION, LOCKED),
)


class BackupMetrics(Model):
    """What is told about one backup."""

    configuration: str
    session: str
    attempt: Attempt
    lock_limit_seconds: float | None = None
    consistency: Consistency | None = None
    """The fields from here on are told of a success alone."""
    server_version: str = ""
    cluster_time: ClusterTime | None = None
    lock_skew_seconds: float | None = None
    dumps: tuple[DumpResult, ...] = ()
    suspicious: bool | None = None
    """None: it was not judged."""
    sets: int | None = None
    """Complete sets of the session after retention."""


def push_backup(gateway: str, metrics: BackupMetrics) -> MetricsResult:
    """Push; see `mongo_backup.metrics.push`."""
    return push(gateway, backup_group(metrics), replace=metrics.attempt.success)


def push_marks(gateway: str, *, configuration: str, session: str, marks: Mapping[str, int]) -> MetricsResult:
    """Push how many marks of each kind are on the target, beside what `push_backup` told before."""
    group = _group(configuration, session)
    for kind, count in marks.items():
        group.set(MARKS, count, kind=kind)
    return push(gateway, group, replace=False)


def _group(configuration: str, session: str) -> MetricGroup:
    return MetricGroup(JOB, {"configuration": configuration, "session": session})


def backup_group(metrics: BackupMetrics) -> MetricGroup:
    """All metrics of one backup, but for the marks."""
    group = _group(metrics.configuration, metrics.session)
    RUN.fill(group, metrics.attempt)
    group.set(LOCK_LIMIT, metrics.lock_limit_seconds)
    if metrics.attempt.success:
        _fill_set(group, metrics)
    return group


def _fill_set(group: MetricGroup, metrics: BackupMetrics) -> None:
    totals: Mapping[Metric, float | None] = {
        RESTORABLE: metrics.cluster_time.t if metrics.cluster_time else None,
        SKEW: metrics.lock_skew_seconds,
        SET_DOCUMENTS: sum(dump.documents for dump in metrics.dumps),
        SET_READ: sum(dump.bytes for dump in metrics.dumps),
        SET_ADDED: sum(dump.bytes_added for dump in metrics.dumps),
        SUSPICIOUS: metrics.suspicious,
        SETS: metrics.sets,
    }
    for metric, value in totals.items():
        group.set(metric, value)
    if metrics.consistency is not None:
        group.set(SET_INFO, 1, consistency=metrics.consistency.value, server_version=metrics.server_version)
    for dump in metrics.dumps:
        for metric, value in (
            (DOCUMENTS, dump.documents),
            (READ, dump.bytes),
            (ADDED, dump.bytes_added),
            (DURATION, dump.seconds),
            (LOCKED, dump.locked_seconds or 0.0),
        ):
            group.set(metric, value, component=dump.component)
