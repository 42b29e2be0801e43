"""Metrics of a verification; one group for each configuration, and for each copy of it that was verified."""

from __future__ import annotations

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.metrics.attempt import Attempt, AttemptMetrics
from mongo_backup.metrics.push import Metric, MetricGroup, push
from mongo_backup.model import Model

JOB = "mongo_backup_verify"

RUN = AttemptMetrics(prefix=JOB, noun="verification", good="found all as the manifest says")
VERIFIED = Metric(
    name="mongo_backup_verified_timestamp_seconds",
    words="Cluster time of the newest set that was restored and found equal. Not there without a cluster time.",
)
NAMESPACES = Metric(name=f"{JOB}_namespaces", words="Namespaces that the last good verification compared.")
DOCUMENTS = Metric(name=f"{JOB}_documents", words="Documents that the last good verification compared.")
COMPARED = Metric(name=f"{JOB}_compared_bytes", words="Bytes of documents that the last good verification compared.")
CHECKS = Metric(name=f"{JOB}_checks", words="The user's own checks that the last good verification ran.")
METRICS = (*RUN.all(), VERIFIED, NAMESPACES, DOCUMENTS, COMPARED, CHECKS)


class VerificationMetrics(Model):
    """What is told about one verification."""

    configuration: str
    copy_name: str | None = None
    """None: the set was read from the configuration's repository."""
    attempt: Attempt
    cluster_time: ClusterTime | None = None
    """Of the set that was verified."""
    namespaces: int = 0
    documents: int = 0
    bytes: int = 0
    checks: int = 0


def push_verification(gateway: str, metrics: VerificationMetrics) -> MetricsResult:
    """Push; see `mongo_backup.metrics.push`."""
    return push(gateway, verification_group(metrics), replace=metrics.attempt.success)


def verification_group(metrics: VerificationMetrics) -> MetricGroup:
    """All metrics of one verification."""
    copy = {"copy": metrics.copy_name} if metrics.copy_name else {}
    group = MetricGroup(JOB, {"configuration": metrics.configuration, **copy})
    RUN.fill(group, metrics.attempt)
    if metrics.attempt.success:
        group.set(VERIFIED, metrics.cluster_time.t if metrics.cluster_time else None)
        group.set(NAMESPACES, metrics.namespaces)
        group.set(DOCUMENTS, metrics.documents)
        group.set(COMPARED, metrics.bytes)
        group.set(CHECKS, metrics.checks)
    return group
