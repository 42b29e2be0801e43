"""`kind: RetentionPolicy`: which complete sets are kept."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from mongo_backup.model import Model
from mongo_backup.objects.base import KubernetesStyleObject, Name
from mongo_backup.objects.quantities import Duration


class RetentionSpec(Model):
    """Counted over complete sets, in UTC; a set that any rule keeps is kept.

    Always kept are the newest complete set, the newest verified one, and what is pinned (`mongo-backup retention pin`).
    """

    last: int = Field(default=0, ge=0)
    """The newest so many sets."""
    hourly: int = Field(default=0, ge=0)
    """The newest set of each of the last so many hours that have one."""
    daily: int = Field(default=0, ge=0)
    """The newest set of each of the last so many days that have one."""
    weekly: int = Field(default=0, ge=0)
    """The newest set of each of the last so many weeks that have one (ISO weeks)."""
    monthly: int = Field(default=0, ge=0)
    """The newest set of each of the last so many months that have one."""
    yearly: int = Field(default=0, ge=0)
    """The newest set of each of the last so many years that have one."""
    within: Duration | None = None
    """Everything younger than this, counted back from the newest set."""
    marks: tuple[Name, ...] = ()
    """Sets that have one of these marks (`mongo-backup retention mark`)."""
    failed: Duration | None = None
    """How long what failed backups left in the repository is kept for diagnosis, counted from its last part; none, or
    less: twice the session's `backup_timeout`. It never counts as a set."""

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        rules = (self.last, self.hourly, self.daily, self.weekly, self.monthly, self.yearly, self.within, self.marks)
        if not any(rules):
            raise ValueError("a policy that keeps nothing is a mistake: set at least one of last, hourly, daily, ...")
        return self


class RetentionPolicy(KubernetesStyleObject):
    """How long sets are kept."""

    kind: Literal["RetentionPolicy"] = "RetentionPolicy"
    """`RetentionPolicy`."""
    spec: RetentionSpec
    """What is kept."""
