"""The steps of a backup as tasks: what each gets from the tasks before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSkipException

from mongo_backup.agent.contract import BackupRequest, BackupStep
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.assets import snapshots_asset, unverified_alias, unverified_asset
from mongo_backup_airflow.hooks.credentials import backup_references, copy_references, repository_references
from mongo_backup_airflow.operators.base import AgentOperator, all_results, run_identity
from mongo_backup_airflow.operators.finish import FinishMixin, states_of_run, times_of_run

if TYPE_CHECKING:
    from airflow.sdk import Context


class BackupOperator(AgentOperator):
    """One step of a backup.

    :param lock_task: the task that holds the members: it is named after what it does.
    """

    family = "backup"
    side_by_side: ClassVar[frozenset[str]] = frozenset(
        {
            BackupStep.DUMP,
            BackupStep.COPY,
            BackupStep.UNLOCK_SECONDARIES,
            BackupStep.UNLOCK_CONFIG_SERVER,
            BackupStep.ENABLE_BALANCER,
            BackupStep.HOOKS_AFTER,
        }
    )

    def __init__(self, *, lock_task: str | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.lock_task = lock_task

    def request(self, context: Context) -> BackupRequest:
        """What the agent gets; each result of an earlier task as far as it is there."""
        ti = context["ti"]
        prepared = ti.xcom_pull(task_ids=BackupStep.PREPARE.value)
        lock = ti.xcom_pull(task_ids=self.lock_task) if self.lock_task else None
        return BackupRequest(
            run=run_identity(context),
            objects=self.subject.objects,
            session=self.subject.session or "",
            set_id=prepared["set_id"] if prepared else None,
            try_number=ti.try_number,
            prepared=prepared,
            members=ti.xcom_pull(task_ids=BackupStep.IDENTIFY_SECONDARIES.value) or (),
            lock=lock,
            **self.more(context),
        )

    def more(self, context: Context) -> dict[str, Any]:
        """Further fields of the request."""
        return {}

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The target's backup user, the store's key, the repository's password."""
        return backup_references(self.subject.objects)


class IdentifySecondariesOperator(BackupOperator):
    """Chooses the members. Returns them as a list, which `dump` maps over: Airflow maps over nothing else."""

    def returned(self, result: dict[str, Any], context: Context) -> list[Any]:
        """The chosen members.

        :raises ValueError: there is none; an empty list would make a run that dumps nothing, in green.
        """
        members: list[Any] = result["members"]
        if not members:
            raise ValueError("no member was chosen: nothing would be backed up")
        return members


class DumpOperator(BackupOperator):
    """Dumps one component into the repository.

    :param member: the component's chosen member, from `identify_secondaries`.
    """

    template_fields: Sequence[str] = ("step", "member")
    component_template = "{{ task.member['component'] }}"
    """How Airflow names the mapped task: by its component."""

    def __init__(self, *, member: dict[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.member = member

    def more(self, context: Context) -> dict[str, Any]:
        """The component."""
        return {"component": self.member["component"]}


class CommitSnapshotOperator(BackupOperator):
    """Writes the manifest, when all components are dumped.

    It does not look at how the unlocking went: a whole snapshot is not lost because a member stayed locked.
    """

    def more(self, context: Context) -> dict[str, Any]:
        """The results of the dumps.

        :raises AirflowSkipException: a dump is missing; its own task says why, and `finish` makes the run red.
        """
        members = context["ti"].xcom_pull(task_ids=BackupStep.IDENTIFY_SECONDARIES.value) or []
        dumps = all_results(context, BackupStep.DUMP.value)
        missing = {member["component"] for member in members} - {dump["component"] for dump in dumps}
        if missing or not members:
            raise AirflowSkipException(
                f"nothing is committed: no dump of {', '.join(sorted(missing)) or 'any component'}"
            )
        return {"dumps": dumps}

    def returned(self, result: dict[str, Any], context: Context) -> Any:
        """The result; Airflow's assets get their events (`mongo_backup_airflow.assets`)."""
        configuration = self.subject.objects.configuration
        told = {name: result[name] for name in ("set_id", "documents", "bytes")}
        told["session"] = self.subject.session
        events = context["outlet_events"]
        events[snapshots_asset(configuration.name)].extra = told
        settings = configuration.spec.verification
        if settings and settings.after_backups and result.get("unverified", 0) >= settings.after_backups:
            events[unverified_alias(configuration.name)].add(unverified_asset(configuration.name), extra=told)
        return result


class CopyOperator(BackupOperator):
    """Brings one copy up to date, when the set is complete. It needs the two stores and not the target.

    :param copy_name: the copy.
    """

    template_fields: Sequence[str] = ("step", "copy_name")
    name_template = "{{ task.copy_name }}"
    """How Airflow names the mapped task: by its copy."""

    def __init__(self, *, copy_name: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.copy_name = copy_name

    def more(self, context: Context) -> dict[str, Any]:
        """The copy."""
        return {"copy_name": self.copy_name}

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The stores' keys and the repositories' passwords."""
        return copy_references(self.subject.objects, self.copy_name)


class BackupMetricsOperator(BackupOperator):
    """Pushes metrics, of failed backups too."""

    def more(self, context: Context) -> dict[str, Any]:
        """States and times of the run's tasks, and what they returned."""
        ti = context["ti"]
        return {
            "states": states_of_run(context),
            "dumps": all_results(context, BackupStep.DUMP.value),
            "committed": ti.xcom_pull(task_ids=BackupStep.COMMIT_SNAPSHOT.value),
            "copied": all_results(context, BackupStep.COPY.value) if self.subject.objects.copies else (),
            "retained": ti.xcom_pull(task_ids=BackupStep.APPLY_RETENTION.value),
            **times_of_run(context),
        }

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """Of a good backup those of the repository, whose sets are counted; none of a failed one."""
        good = states_of_run(context).get(BackupStep.COMMIT_SNAPSHOT.value) == "success"
        return repository_references(self.subject.objects) if good else ()


class FinishBackupOperator(FinishMixin, BackupOperator):
    """Sweeps what the run may have left on the target, then judges the run."""

    complete_task = BackupStep.COMMIT_SNAPSHOT.value
    complete_words = "the snapshot is complete and can be restored, but the run is not clean"
    first_task = BackupStep.PREPARE.value

    def incomplete(self, states: dict[str, str]) -> str:
        """No manifest, no snapshot."""
        return "there is no snapshot of this run"
