"""`kind: BackupConfiguration`: what is backed up where, and when: its sessions become DAGs."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.namespaces import NamespacePatterns
from mongo_backup.objects.addon import Engine
from mongo_backup.objects.anomaly import AnomalySettings
from mongo_backup.objects.base import CredentialsReference, KubernetesStyleObject, Name, Reference
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.hooks import Hooks
from mongo_backup.objects.maintenance import MaintenanceSettings
from mongo_backup.objects.notifications import Deadline, Notification, deadline_after
from mongo_backup.objects.quantities import Duration
from mongo_backup.objects.schedule import Schedule
from mongo_backup.objects.verification import VerificationSettings


class Consistency(StrEnum):
    """How one cluster time is kept readable while it is read."""

    LOCKED = "locked"
    """Each chosen secondary is fsyncLocked."""
    SNAPSHOT = "snapshot"
    """No lock: the member's history window is raised for the time of the dump."""
    NONE = "none"
    """Standalone: there is no oplog, so no common point. Only ever an outcome, never a wish."""


def _check_pattern(pattern: str) -> str:
    try:
        NamespacePatterns((pattern,))
    except ConfigurationError as error:
        raise ValueError(error.message) from None
    return pattern


NamespacePattern = Annotated[str, AfterValidator(_check_pattern)]
"""`database.collection`; in both parts `*` stands for any text."""


class Concurrency(StrEnum):
    """What a run does while another one is at work on its target."""

    QUEUE = "queue"
    """It waits for the other's end. Sessions of one deployment meet by design: the weekly one begins with the daily."""
    FORBID = "forbid"
    """It fails, and names the other."""


class Execution(Model):
    """Where steps run."""

    runner: Literal["local", "kubernetes"] = "local"
    """`local`: a process of the Airflow worker. `kubernetes`: a pod."""
    control_steps: Literal["worker", "pod"] = "pod"
    """With `kubernetes`: where the short steps (balancer, locks) run."""
    namespace: str | None = None
    """With `kubernetes`: the namespace of the pods."""
    kubernetes_connection: str | None = None
    """With `kubernetes`: an Airflow Connection to the cluster; none where Airflow itself runs in it."""
    service_account: str | None = None
    """With `kubernetes`: the service account of the pods; none: the namespace's default."""
    start_timeout: Duration = timedelta(minutes=10)
    """With `kubernetes`: how long a pod may take from its creation until it runs (a free node, the image)."""
    termination_grace: Duration = timedelta(minutes=2)
    """With `kubernetes`: what a pod that is asked to end has for undoing its marks, before it is killed."""
    deferrable: bool = True
    """With `kubernetes`: no worker waits for the pods of long steps (dump, restore, indexes, comparison); the
    triggerer watches them, and they go on while workers, scheduler and triggerer are restarted."""
    max_parallel_dumps: int = Field(default=16, ge=1)
    """Components dumped side by side."""
    pool: str | None = None
    """An Airflow pool for dumps and restores of this configuration; None: the target's, else the storage's."""


class BalancerSettings(Model):
    """How the balancer is stopped."""

    stop_timeout: Duration = timedelta(minutes=10)
    """How long a running migration round is waited for."""


class Session(Model):
    """One schedule of a configuration: the DAG `backup.<configuration>.<session>`."""

    name: Name
    """Part of the DAG's id."""
    schedule: Schedule | None = None
    """Cron, such as `0 2 * * *` or `@daily`; none: by trigger only."""
    timezone: str = "UTC"
    """The time zone of the schedule, such as `Europe/Berlin`."""
    paused: bool = False
    """Start the DAG paused."""
    consistency: Literal[Consistency.LOCKED, Consistency.SNAPSHOT] = Consistency.LOCKED
    """How the cluster time stays readable: `locked` fsyncLocks the chosen secondaries while they are read, `snapshot`
    locks nothing and raises their history window. A standalone is dumped directly, whatever stands here."""
    when_unsafe: Literal["snapshot", "fail"] = "snapshot"
    """If locking a member would endanger its set: read at the cluster time without a lock, or fail."""
    engine: Engine | None = None
    """None: what the addon's function says."""
    include: tuple[NamespacePattern, ...] = ()
    """Namespaces (`shop.orders`, `shop.*`) to back up; empty: all."""
    exclude: tuple[NamespacePattern, ...] = ()
    """Namespaces to leave out."""
    retention_policy: Reference | None = None
    """None: keep everything."""
    copies: tuple[CopySettings, ...] = ()
    """Further repositories that get a copy of each complete set."""
    backup_timeout: Duration = timedelta(hours=12)
    """Longest time for the dump of one component."""
    max_lock_time: Duration = timedelta(hours=6)
    """A member is unlocked after this, come what may."""
    retries: int = Field(default=3, ge=0, le=20)
    """How often a step is tried again when the cause may pass. Any other cause fails it at once."""
    retry_delay: Duration = timedelta(minutes=1)
    """The wait before the second try; before each further one it is about twice as long."""
    max_retry_delay: Duration = timedelta(minutes=5)
    """Longest wait between two tries. What is locked stays so meanwhile, for 10 minutes at most."""
    balancer: BalancerSettings = BalancerSettings()
    """How the balancer of a sharded cluster is stopped."""
    hooks: Hooks = Hooks()
    """What else is done before and after."""
    deadline: Deadline | None = None
    """When a good backup must be there: a time of day such as `06:00`, in the session's time zone, or a duration after
    each scheduled time. If none is, Airflow sends the `notifications` for `late`."""

    @model_validator(mode="after")
    def _copies_differ(self) -> Self:
        names = [copy.name for copy in self.copies]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two copies are named {twice[0]}: each needs a name of its own")
        return self

    @model_validator(mode="after")
    def _deadline_fits(self) -> Self:
        if self.deadline is not None:
            if self.schedule is None:
                raise ValueError("a `deadline` needs a `schedule`: without one nothing is ever due")
            deadline_after(self.deadline, self.schedule)
        return self


class RestoreSettings(Model):
    """The DAG `restore.<configuration>`."""

    approval: bool = False
    """Wait for a person's approval of the plan before anything is touched."""
    restore_timeout: Duration = timedelta(hours=24)
    """Longest time for the restore of one component."""
    hooks: Hooks = Hooks()
    """What else is done before and after."""


class MetricsSettings(Model):
    """Where metrics go."""

    pushgateway: str
    """The Pushgateway's address, such as `http://pushgateway:9091`."""


class BackupConfigurationSpec(Model):
    """What, where and when."""

    target: Reference
    """An AppBinding."""
    storage: Reference
    """A BackupStorage."""
    encryption: CredentialsReference
    """The repository's password: losing it is losing the backups."""
    repository: str | None = None
    """The repository's folder in the storage; none: the configuration's name."""
    addon: Reference | None = None
    """None: the built-in `mongodb`."""
    execution: Execution = Execution()
    """Where steps run."""
    concurrency: Concurrency = Concurrency.QUEUE
    """While another run is at work on the target (a backup or a restore, of any schedule, configuration or Airflow):
    `queue` waits for its end, `forbid` fails and names it. They never overlap."""
    queue_timeout: Duration = timedelta(hours=6)
    """With `queue`: how long a run waits before it fails."""
    sessions: tuple[Session, ...] = Field(min_length=1)
    """When and how it is backed up: one DAG each."""
    restore: RestoreSettings = RestoreSettings()
    """How it is restored."""
    verification: VerificationSettings | None = None
    """How sets are verified: makes the DAG `verify.<configuration>`; none: they are not."""
    anomaly: AnomalySettings = AnomalySettings()
    """When a set is marked as suspicious."""
    maintenance: MaintenanceSettings = MaintenanceSettings()
    """How its repository is checked and pruned: the DAG `maintain.<configuration>`."""
    metrics: MetricsSettings | None = None
    """None: no metrics are pushed."""
    notifications: tuple[Notification, ...] = ()
    """Who is told of the runs of all DAGs of this configuration."""

    @model_validator(mode="after")
    def _sessions_differ(self) -> Self:
        names = [session.name for session in self.sessions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sessions are named {twice[0]}: each needs a name of its own")
        return self


class BackupConfiguration(KubernetesStyleObject):
    """The backups of one deployment."""

    kind: Literal["BackupConfiguration"] = "BackupConfiguration"
    """`BackupConfiguration`."""
    spec: BackupConfigurationSpec
    """What, where and when."""

    def session(self, name: str) -> Session:
        """The session of that name.

        :raises KeyError: there is none.
        """
        return {session.name: session for session in self.spec.sessions}[name]

    @property
    def repository_name(self) -> str:
        """The repository's folder in the storage."""
        return self.spec.repository or self.name
