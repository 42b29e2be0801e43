"""What goes into an agent step and what comes out: JSON documents, all typed.

A step is one command, `mongo-backup agent <step>`, by its full name: `backup.dump`, `restore.plan_restore` (the list
is `mongo_backup.agent.registry`). The request is one JSON document (`--request FILE`, or the environment variable
`MONGO_BACKUP_REQUEST`); the result is one JSON document (`--result FILE`, else standard output); the log goes to
standard error; the exit code is `mongo_backup.errors.ExitCode`. In a pod the result is the termination message, of
which Kubernetes keeps 4 KiB
(https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/); a larger result is one line
of the log (`MONGO_BACKUP_RESULT_BYTES`, `Envelope.in_log`). Large facts go to the repository.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from mongo_backup.errors import ExitCode, MongoBackupError, error_class
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.resolved import Objects
from mongo_backup.topology.model import ChosenMember

REQUEST_VARIABLE = "MONGO_BACKUP_REQUEST"
RESULT_BYTES_VARIABLE = "MONGO_BACKUP_RESULT_BYTES"
"""Largest document that the result file takes; a larger one goes to standard output, after `RESULT_MARK`."""
RESULT_MARK = "mongo-backup-result: "


class BackupStep(StrEnum):
    """Steps of a backup, in the order of the DAG."""

    PREPARE = "prepare"
    HOOKS_BEFORE = "hooks_before"
    DISABLE_BALANCER = "disable_balancer"
    IDENTIFY_SECONDARIES = "identify_secondaries"
    LOCK_CONFIG_SERVER = "lock_config_server"
    LOCK_SECONDARIES = "lock_secondaries"
    DUMP = "dump"
    UNLOCK_SECONDARIES = "unlock_secondaries"
    UNLOCK_CONFIG_SERVER = "unlock_config_server"
    ENABLE_BALANCER = "enable_balancer"
    COMMIT_SNAPSHOT = "commit_snapshot"
    COPY = "copy"
    APPLY_RETENTION = "apply_retention"
    PUSH_METRICS = "push_metrics"
    HOOKS_AFTER = "hooks_after"
    FINISH = "finish"


class RunIdentity(Model):
    """Which DAG run asks: the owner of everything that is written to the journal."""

    dag_id: str
    run_id: str
    started: str | None = None
    """When the run began, to the microsecond: two Airflows with the same objects have runs of the same id."""

    @property
    def name(self) -> str:
        """The run as people know it."""
        return f"{self.dag_id}/{self.run_id}"

    @property
    def owner(self) -> str:
        """One text for the journal: this run, and no other Airflow's of the same name."""
        return f"{self.name} begun {self.started}" if self.started else self.name


class RunOutcome(Model):
    """How a run went, judged by all its tasks but the last ones."""

    success: bool
    """Every task did what it should."""
    complete: bool
    """The set was made, or the restore was equal to it: a run can fail all the same."""
    reason: str | None = None
    """The tasks that did not succeed, and why."""


class Envelope(Model):
    """How a step ended."""

    step: str
    ok: bool
    result: dict[str, Any] | None = None
    exit_code: ExitCode = ExitCode.OK
    error_type: str | None = None
    message: str | None = None
    in_log: bool = False
    """The document is too large for this place: all of it is the line of the log that begins with the mark."""

    def error(self) -> MongoBackupError:
        """The typed error of a step that failed."""
        return error_class(self.exit_code)(self.message or "the step failed without a message")


class BackupRequest(Model):
    """What every backup step gets; later steps get more in the fields below."""

    run: RunIdentity
    objects: Objects
    session: str
    set_id: str | None = None
    """From `prepare` on."""
    try_number: int = 1
    members: tuple[ChosenMember, ...] = ()
    """From `identify_secondaries` on."""
    component: str | None = None
    """`dump`: the component."""
    copy_name: str | None = None
    """`copy`: the copy."""
    lock: LockResult | None = None
    """`dump`, `commit_snapshot`: what `lock_secondaries` returned."""
    dumps: tuple[DumpResult, ...] = ()
    """`commit_snapshot`: what the dumps returned."""
    prepared: PrepareResult | None = None
    """From `prepare` on."""
    states: dict[str, str] = Field(default_factory=dict)
    """`finish`, `push_metrics`: states of the run's tasks."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """`push_metrics`: how long each task took; of a mapped one the longest."""
    run_seconds: float | None = None
    """`push_metrics`: since the run began."""
    committed: CommitResult | None = None
    """`push_metrics`: what `commit_snapshot` returned."""
    copied: tuple[CopyResult, ...] = ()
    """`push_metrics`: what the copies returned that succeeded."""
    retained: RetentionResult | None = None
    """`push_metrics`: what `apply_retention` returned."""
    outcome: RunOutcome | None = None
    """`hooks_after`: how the run went."""


class PrepareResult(Model):
    """What was found before anything was touched."""

    set_id: str
    started: str
    """RFC 3339."""
    topology: TopologyKind
    components: tuple[str, ...]
    server_version: str
    fcv: str | None = None
    cluster_time_supported: bool
    repository_created: bool
    last_members: dict[str, str] = Field(default_factory=dict)
    """The member that each component was read from for the newest set."""


class BalancerResult(Model):
    """Stopping or restoring the balancer."""

    former: str
    """`full`, `off` or `autoSplitOnly`."""
    now: str
    waited_seconds: float = 0


class MembersResult(Model):
    """Choice of members."""

    members: tuple[ChosenMember, ...]


class Held(Model):
    """One member that is locked or whose window is raised."""

    component: str
    host: str
    mode: str
    at: float
    """Unix time of the moment at which the lock was there."""
    member_time: float | None = None
    """The same moment by the member's own clock: the agent that reads may be on a machine whose clock is wrong."""
    catalog: str
    """SHA-256 over the member's catalog (namespaces, UUIDs, options, indexes) at the cluster time."""


class LockResult(Model):
    """All members are held and one cluster time is readable on each."""

    consistency: Consistency
    cluster_time: ClusterTime | None = None
    held: tuple[Held, ...] = ()
    skew_seconds: float | None = None
    attempts: int = 1


class DumpResult(Model):
    """One component is in the repository."""

    component: str
    archive_id: str
    inventory_id: str
    archive_file: str
    engine: str
    consistency: Consistency
    documents: int
    bytes: int
    bytes_added: int
    collections: int
    seconds: float
    read_seconds: float
    locked_seconds: float | None = None
    cluster_time: ClusterTime | None = None
    """The time that it was read at."""
    held_at: float | None = None
    """`Held.at` of the member while it was read: two dumps under different locks are no set."""


class ReleaseResult(Model):
    """What was undone, in words: `unlocked shard0 at host:port`."""

    released: tuple[str, ...] = ()


class CommitResult(Model):
    """The set is complete: its manifest is written and was read back."""

    set_id: str
    manifest_id: str
    consistency: Consistency
    cluster_time: ClusterTime | None = None
    documents: int
    bytes: int
    bytes_added: int
    unverified: int = 0
    """Complete sets, this one among them, that are newer than the last verification; 0: none is asked for."""
    suspicious: tuple[str, ...] = ()
    """Why the set is suspicious: the first reasons of the manifest's."""


class CopyResult(Model):
    """All sets that the copy's policy keeps are in the copy."""

    copy_name: str
    copied: tuple[str, ...] = ()
    """Sets that came in now, the newest first; the first ones."""
    copied_sets: int = 0
    """How many."""
    forgotten: tuple[str, ...] = ()
    """Sets that the policy does not keep; the first ones."""
    refused: tuple[str, ...] = ()
    """Sets that the policy does not keep and that the store does not let go; the first ones."""
    refused_sets: int = 0
    """How many."""
    sets: int
    """Complete sets of the session in the copy now."""
    newest_set: str | None = None
    newest_time: float | None = None
    """When the newest set in the copy was complete in its source: Unix time."""
    bytes: int = 0
    """Of the archives that came in now."""
    seconds: float


class RetentionResult(Model):
    """What retention did."""

    kept: int
    forgotten: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Sets that no rule keeps and that the store does not let go."""


class MetricsResult(Model):
    """Whether metrics were pushed."""

    pushed: bool
    reason: str | None = None


class HookResult(Model):
    """How one hook ended."""

    hook: str
    ok: bool
    tries: int
    seconds: float
    reason: str | None = None


class HooksResult(Model):
    """What the hooks did, in their order."""

    ran: tuple[HookResult, ...] = ()


class FinishResult(Model):
    """Nothing of this run is left on the target."""

    swept: tuple[str, ...] = ()


BackupRequest.model_rebuild()
