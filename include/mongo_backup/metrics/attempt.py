"""What is told of every run alike: when it ended, how, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Self

from pydantic import Field

from mongo_backup import clock
from mongo_backup.metrics.push import Metric, MetricGroup
from mongo_backup.model import Model
from mongo_backup.objects.schedule import longest_interval


class Attempt(Model):
    """One run, as far as it went."""

    ended: datetime
    success: bool
    seconds: float
    """From its start to its end."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """How long each task took; of a mapped one the longest."""
    expected_interval_seconds: float | None = None
    """The longest time between two runs of the schedule; None: there is no schedule."""

    @classmethod
    def now(
        cls, *, success: bool, seconds: float, step_seconds: Mapping[str, float], schedule: str | None = None
    ) -> Self:
        """Return the run that ends now."""
        return cls(
            ended=clock.now(),
            success=success,
            seconds=seconds,
            step_seconds=dict(step_seconds),
            expected_interval_seconds=longest_interval(schedule).total_seconds() if schedule else None,
        )


class AttemptMetrics:
    """The metrics of every run, under a name of the subject's own.

    :param prefix: such as `mongo_backup`.
    :param noun: such as `backup`.
    :param good: what a success is.
    """

    def __init__(self, *, prefix: str, noun: str, good: str) -> None:
        self.timestamp = Metric(
            name=f"{prefix}_last_attempt_timestamp_seconds", words=f"When the last {noun} ended, well or not."
        )
        self.success = Metric(name=f"{prefix}_last_attempt_success", words=f"1: the last {noun} {good}; 0: not so.")
        self.duration = Metric(
            name=f"{prefix}_last_attempt_duration_seconds", words=f"How long the last {noun} took as a whole."
        )
        self.steps = Metric(
            name=f"{prefix}_step_duration_seconds",
            words=f"How long each task of the last {noun} took; of a mapped task the longest.",
            labels=("step",),
        )
        self.interval = Metric(
            name=f"{prefix}_expected_interval_seconds",
            words=f"The longest time that the schedule leaves between two {noun}s; not there without a schedule.",
        )
        self.last_success = Metric(
            name=f"{prefix}_last_success_timestamp_seconds", words=f"When the last {noun} ended that {good}."
        )

    def all(self) -> tuple[Metric, ...]:
        """Every metric."""
        return (self.timestamp, self.success, self.duration, self.last_success, self.interval, self.steps)

    def fill(self, group: MetricGroup, attempt: Attempt) -> None:
        """Tell of a run. After a failure nothing is said of the last success."""
        group.set(self.timestamp, attempt.ended.timestamp())
        group.set(self.success, attempt.success)
        group.set(self.duration, attempt.seconds)
        group.set(self.interval, attempt.expected_interval_seconds)
        for step, seconds in attempt.step_seconds.items():
            group.set(self.steps, seconds, step=step)
        if attempt.success:
            group.set(self.last_success, attempt.ended.timestamp())
