"""What goes into a maintenance step and what comes out. The rules of `mongo_backup.agent.contract` hold here too."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.model import Model
from mongo_backup.objects.maintenance import MaintenanceSettings
from mongo_backup.objects.resolved import Objects


class MaintainStep(StrEnum):
    """Steps of a maintenance, in the order of the DAG."""

    CHECK = "check"
    PRUNE = "prune"
    PUSH_METRICS = "push_metrics"
    FINISH = "finish"


class CheckResult(Model):
    """Nothing is damaged: the structure as a whole, and this part of the data."""

    part: int
    """The part of the data that was read, from 1."""
    parts: int
    snapshots: int
    seconds: float


class PruneResult(Model):
    """What no snapshot needs any more is gone."""

    stored_bytes: int
    """Size of the repository's data now."""
    freed_bytes: int
    sets: int
    """Complete sets in it."""
    refused: str | None = None
    """The store's words, where it does not let go of data (locked objects, no right to delete): nothing was freed."""
    seconds: float


class MaintainRequest(Model):
    """What every maintenance step gets."""

    run: RunIdentity
    objects: Objects
    try_number: int = 1
    pruned: PruneResult | None = None
    """`push_metrics`: what `prune` returned."""
    states: dict[str, str] = Field(default_factory=dict)
    """`push_metrics`: states of the run's tasks."""
    run_seconds: float | None = None
    """`push_metrics`: how long the run took so far."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """`push_metrics`: how long each task took."""

    @property
    def settings(self) -> MaintenanceSettings:
        """The configuration's wishes."""
        return self.objects.configuration.spec.maintenance
