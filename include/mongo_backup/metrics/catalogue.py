"""Every metric there is, by subject: what the reference lists, and what dashboard and alerts may use."""

from __future__ import annotations

from dataclasses import dataclass

from mongo_backup.metrics import backup, copies, maintenance, restore, verification
from mongo_backup.metrics.push import Metric


@dataclass(frozen=True, kw_only=True)
class SubjectMetrics:
    """What is told of one subject.

    :param job: the `job` label.
    :param key: labels that every metric of the subject has.
    :param of_copies: a label that those of a copy have as well.
    """

    subject: str
    job: str
    key: tuple[str, ...]
    metrics: tuple[Metric, ...]
    of_copies: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that a metric of the subject may have, whatever it is."""
        return (*self.key, self.of_copies) if self.of_copies else self.key


SUBJECTS = (
    SubjectMetrics(subject="Backup", job=backup.JOB, key=("configuration", "session"), metrics=backup.METRICS),
    SubjectMetrics(subject="Copy", job=copies.JOB, key=("configuration", "session", "copy"), metrics=copies.METRICS),
    SubjectMetrics(subject="Restore", job=restore.JOB, key=("configuration", "target"), metrics=restore.METRICS),
    SubjectMetrics(
        subject="Verification",
        job=verification.JOB,
        key=("configuration",),
        metrics=verification.METRICS,
        of_copies="copy",
    ),
    SubjectMetrics(subject="Maintenance", job=maintenance.JOB, key=("repository",), metrics=maintenance.METRICS),
)
