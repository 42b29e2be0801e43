"""What goes into a restore step and what comes out. The rules of `mongo_backup.agent.contract` hold here too."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from mongo_backup.agent.contract import RunIdentity, RunOutcome
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import AppBinding, TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.resolved import Objects


class RestoreStep(StrEnum):
    """Steps of a restore, in the order of the DAG."""

    PLAN_RESTORE = "plan_restore"
    HOOKS_BEFORE = "hooks_before"
    DISABLE_BALANCER = "disable_balancer"
    DROP_EXISTING = "drop_existing"
    RESTORE = "restore"
    RESTORE_METADATA = "restore_metadata"
    BUILD_INDEXES = "build_indexes"
    VERIFY_RESTORE = "verify_restore"
    ENABLE_BALANCER = "enable_balancer"
    PUSH_METRICS = "push_metrics"
    HOOKS_AFTER = "hooks_after"
    FINISH = "finish"


class Existing(StrEnum):
    """What happens to namespaces of the backup that exist on the target already."""

    REFUSE = "refuse"
    """The plan fails and lists them; nothing is touched."""
    DROP = "drop"
    """They are dropped; a whole restore drops the databases of the backup whole."""
    MERGE = "merge"
    """Documents are added. One with the same `_id` and other content fails the restore."""


class UserPolicy(StrEnum):
    """What happens to users and roles. The account in use, and the roles it holds, are never touched."""

    SKIP = "skip"
    """The target's stay as they are."""
    MERGE = "merge"
    """Those that the target does not have are added, with their old passwords; the others stay as they are."""
    REPLACE = "replace"
    """The target has those of the backup afterwards, and no others."""


class RestoreParameters(Model):
    """What the trigger form asks: the spec of a restore."""

    snapshot: str = "latest"
    """`latest` (the newest complete set) or the id of a set."""
    target: str | None = None
    """Name of another AppBinding to restore into; none: where the backup came from."""
    existing: Existing = Existing.REFUSE
    include: tuple[str, ...] = ()
    """Namespaces (`shop.orders`, `shop.*`) to restore; empty: all."""
    exclude: tuple[str, ...] = ()
    """Namespaces to leave out."""
    rename: dict[str, str] = Field(default_factory=dict)
    """New names: `{"shop.orders": "shop.orders_old"}` or a whole database `{"shop.*": "shop_old.*"}`.
    Not in a sharded cluster."""
    users: UserPolicy = UserPolicy.SKIP
    shard_map: dict[str, str] = Field(default_factory=dict)
    """Shards of the backup whose name on the target is another: `{"shard0": "rs-a"}`."""

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        for old, new in self.rename.items():
            if "." not in old or "." not in new or old.endswith(".*") != new.endswith(".*"):
                raise ValueError(f"rename {old}: {new} is neither `db.collection: db.collection` nor `db.*: db.*`")
        for given, what in ((self.rename, "namespaces"), (self.shard_map, "shards")):
            if len(set(given.values())) != len(given):
                raise ValueError(f"two {what} would get the same new name: {given}")
        return self


class PlanResult(Model):
    """What will be done. The whole plan is in the log."""

    set_id: str
    manifest_id: str
    """The restic snapshot with the manifest: later steps read it without asking what is there."""
    topology: TopologyKind
    components: dict[str, str]
    """Each component of the set and the target's component that it goes into."""
    namespaces: int
    documents: int
    bytes: int
    dropped: int
    """Namespaces on the target that are dropped."""
    consistency: Consistency
    cluster_time: ClusterTime | None = None
    warnings: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    """The plan in short sentences, for a person who approves it."""


class DropResult(Model):
    """What was dropped."""

    databases: int = 0
    collections: int = 0


class RestoreResult(Model):
    """One component's documents are on the target."""

    component: str
    target: str
    collections: int
    documents: int
    bytes: int
    seconds: float
    users: int = 0
    roles: int = 0


class MetadataResult(Model):
    """Routing documents that were written."""

    databases: int = 0
    collections: int = 0
    chunks: int = 0
    tags: int = 0
    settings: int = 0


class IndexesResult(Model):
    """Indexes that were built."""

    indexes: int
    seconds: float
    warnings: tuple[str, ...] = ()
    """First few legacy options that the server no longer knows and that were left out."""


class VerifyResult(Model):
    """The target was read back and compared with the manifest."""

    namespaces: int
    documents: int
    bytes: int
    seconds: float
    digests: int
    """Namespaces whose digest was compared (not those that were merged into existing documents)."""
    uuids: int = 0
    """Sharded collections whose UUID is the same in routing and on every shard."""


class RestoreRequest(Model):
    """What every restore step gets; later steps get more in the fields below."""

    run: RunIdentity
    objects: Objects
    """Those of the configuration that made the backup; `objects.target` is where it came from."""
    target: AppBinding | None = None
    """The AppBinding that `parameters.target` names, resolved; none: `objects.target`."""
    parameters: RestoreParameters = RestoreParameters()
    try_number: int = 1
    plan: PlanResult | None = None
    """From `plan_restore` on."""
    component: str | None = None
    """`restore`: a component of the set."""
    restored: tuple[RestoreResult, ...] = ()
    """From `restore` on, for the metrics."""
    verified: VerifyResult | None = None
    """From `verify_restore` on, for the metrics."""
    states: dict[str, str] = Field(default_factory=dict)
    """`finish`, `push_metrics`: states of the run's tasks."""
    step_seconds: dict[str, float] = Field(default_factory=dict)
    """`push_metrics`: how long each task took; of a mapped one the longest."""
    run_seconds: float | None = None
    """`push_metrics`: since the run began."""
    outcome: RunOutcome | None = None
    """`hooks_after`: how the run went."""

    @property
    def binding(self) -> AppBinding:
        """The deployment that is restored into."""
        return self.target or self.objects.target

    @model_validator(mode="after")
    def _target_is_resolved(self) -> Self:
        wanted = self.parameters.target
        if wanted and wanted != self.binding.name:
            raise ValueError(f"the request names the target {wanted} but brings the AppBinding {self.binding.name}")
        return self
