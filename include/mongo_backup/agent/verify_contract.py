"""What goes into a verification step and what comes out. The rules of `mongo_backup.agent.contract` hold here too."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.model import Model
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.resolved import Objects
from mongo_backup.objects.verification import VerificationSettings


class VerifyStep(StrEnum):
    """Steps of a verification, in the order of the DAG."""

    CHOOSE_SET = "choose_set"
    RESTORE_AND_COMPARE = "restore_and_compare"
    PUSH_METRICS = "push_metrics"
    FINISH = "finish"


class VerifyParameters(Model):
    """What the trigger form asks."""

    snapshot: str = "latest"
    """`latest` (the newest complete set) or the id of a set."""


class ChooseResult(Model):
    """The set that is verified."""

    set_id: str
    manifest_id: str
    """The restic snapshot with the manifest."""
    session: str | None = None
    time: datetime
    """When it was complete."""
    verdict: str | None = None
    """Of the verification before this one: `verified` or `failed`."""


class VerificationResult(Model):
    """The set was restored, and all of it is as the manifest says. A set that is not raises, and is recorded too."""

    set_id: str
    session: str | None = None
    record_id: str
    """The restic snapshot with the record (`mongo_backup.verify.record`)."""
    finished: datetime
    consistency: Consistency
    cluster_time: ClusterTime | None = None
    """What is proved to be restorable."""
    server_version: str
    """Of the throw-away server."""
    namespaces: int
    documents: int
    bytes: int
    digests: int
    indexes: int
    checks: int
    """The user's own checks that were passed."""
    seconds: float


class VerifyRequest(Model):
    """What every verification step gets; later steps get more in the fields below."""

    run: RunIdentity
    objects: Objects
    parameters: VerifyParameters = VerifyParameters()
    try_number: int = 1
    chosen: ChooseResult | None = None
    """From `choose_set` on."""
    verified: VerificationResult | None = None
    """From `restore_and_compare` on, if it found nothing wrong."""
    states: dict[str, str] = Field(default_factory=dict)
    """`finish`, `push_metrics`: states of the run's tasks."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """`push_metrics`: how long each task took."""
    run_seconds: float | None = None
    """`push_metrics`: since the run began."""

    @property
    def settings(self) -> VerificationSettings:
        """How the configuration wants its sets verified."""
        return self.objects.configuration.spec.verification or VerificationSettings()
