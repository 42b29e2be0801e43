"""The DAG `backup.<configuration>.<session>`: wiring alone.

::

    prepare -> hooks_before -> disable_balancer -> identify_secondaries -> lock_config_server -> lock_secondaries
      -> dump (mapped)
      -> unlock_secondaries -> unlock_config_server -> enable_balancer            (teardowns of their setups)
      -> commit_snapshot -> copy (mapped) -> apply_retention -> push_metrics -> hooks_after -> finish

A replica set has no balancer and no config server, a standalone has nothing to hold at all. Without locks
(`consistency: snapshot`) the holding tasks are `widen_history_windows` and `restore_history_windows`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetAlias, BaseOperator, TriggerRule

from mongo_backup.agent.contract import BackupStep
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.hooks import Hook, longest
from mongo_backup_airflow.assets import snapshots_asset, unverified_alias
from mongo_backup_airflow.builders import telling, wiring
from mongo_backup_airflow.builders.words import BACKUP_TASKS, backup_description, backup_words
from mongo_backup_airflow.operators.backup import (
    BackupMetricsOperator,
    BackupOperator,
    CommitSnapshotOperator,
    CopyOperator,
    DumpOperator,
    FinishBackupOperator,
    IdentifySecondariesOperator,
)
from mongo_backup_airflow.operators.hooks import BackupHooksOperator
from mongo_backup_airflow.subject import Subject

WIDEN = "widen_history_windows"
NARROW = "restore_history_windows"


def build_backup_dag(subject: Subject) -> DAG:
    """Build the DAG of one session."""
    objects = subject.objects
    configuration, topology = objects.configuration, objects.target.spec.topology
    session = configuration.session(subject.session or "")
    dag = DAG(
        dag_id=wiring.backup_dag_id(configuration.name, session.name),
        description=backup_description(subject, session),
        # Without a start date: with one in the past this timetable starts a run the moment the DAG appears.
        schedule=wiring.cron(session.schedule, timezone=session.timezone),
        is_paused_upon_creation=session.paused,
        default_args=wiring.default_arguments(
            retries=session.retries, delay=session.retry_delay, longest=session.max_retry_delay
        ),
        doc_md=backup_words(subject, session),
        **telling.deadlines(configuration, session),
        **wiring.dag_arguments(configuration, family="backup", topology=topology),
    )
    with dag:
        _Tasks(subject).wire()
    return dag


class _Tasks:
    """The tasks of one backup DAG."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.configuration = subject.objects.configuration
        self.session = self.configuration.session(subject.session or "")
        topology = subject.objects.target.spec.topology
        self.sharded = topology is TopologyKind.SHARDED
        self.held = topology is not TopologyKind.STANDALONE
        self.locked = self.session.consistency is Consistency.LOCKED
        self.lock_task = (BackupStep.LOCK_SECONDARIES.value if self.locked else WIDEN) if self.held else None

    def wire(self) -> None:
        """Make the tasks and put them in order."""
        prepare = self._task(BackupStep.PREPARE)
        before = self._hooks(BackupStep.HOOKS_BEFORE, self.session.hooks.before)
        after = self._hooks(BackupStep.HOOKS_AFTER, self.session.hooks.after)
        members = self._task(BackupStep.IDENTIFY_SECONDARIES, IdentifySecondariesOperator)
        stop, start = self._pair(BackupStep.DISABLE_BALANCER, BackupStep.ENABLE_BALANCER, there=self.sharded)
        lock_config, unlock_config = self._pair(
            BackupStep.LOCK_CONFIG_SERVER, BackupStep.UNLOCK_CONFIG_SERVER, there=self.sharded and self.locked
        )
        hold, release = self._pair(
            BackupStep.LOCK_SECONDARIES,
            BackupStep.UNLOCK_SECONDARIES,
            there=self.held,
            names=None if self.locked else (WIDEN, NARROW),
        )
        dump = self._dump(members)
        commit = self._commit()
        copy = self._copy()
        retention = self._task(
            BackupStep.APPLY_RETENTION,
            execution_timeout=wiring.LONG,
            # A set that could not be copied is no reason to let the repository grow: then one of the two succeeded.
            trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS if copy is not None else TriggerRule.ALL_SUCCESS,
            **wiring.store_pool(self.subject.objects),
        )
        metrics = self._task(BackupStep.PUSH_METRICS, BackupMetricsOperator, trigger_rule=TriggerRule.ALL_DONE)
        finish = self._task(BackupStep.FINISH, FinishBackupOperator, **wiring.finish_arguments(self.configuration))
        wiring.chain_tasks([prepare, before, stop, members, lock_config, hold, dump])
        wiring.chain_tasks([stop, lock_config, hold])  # a dump that is cleared takes its setups with it, and no more
        ending = [dump, release, unlock_config, start, commit, copy, retention, metrics]
        wiring.chain_tasks(ending)
        if copy is not None:
            commit >> retention
        if self.held:
            dump >> commit  # teardowns succeed after failed dumps too: the commit must see the dumps themselves
        wiring.close_run(finish, after=ending, hooks=after)

    def _task(
        self, step: BackupStep, kind: type[BackupOperator] = BackupOperator, *, name: str | None = None, **more: Any
    ) -> BackupOperator:
        return kind(**self._common(step, name), **more)

    def _common(self, step: BackupStep, name: str | None = None) -> dict[str, Any]:
        """What every task of a step is given."""
        task_id = name or step.value
        return {
            "task_id": task_id,
            "step": step.value,
            "subject": self.subject,
            "lock_task": self.lock_task,
            "doc_md": BACKUP_TASKS[task_id],
        }

    def _hooks(self, step: BackupStep, hooks: tuple[Hook, ...]) -> BaseOperator | None:
        return self._task(step, BackupHooksOperator, execution_timeout=longest(hooks)) if hooks else None

    def _pair(
        self, setup: BackupStep, teardown: BackupStep, *, there: bool, names: tuple[str, str] | None = None
    ) -> tuple[BaseOperator | None, BaseOperator | None]:
        """A task and the one that undoes it."""
        if not there:
            return None, None
        setup_name, teardown_name = names or (setup.value, teardown.value)
        limit = wiring.SHORT + self.session.balancer.stop_timeout
        act = self._task(setup, name=setup_name, execution_timeout=limit)
        undo = self._task(teardown, name=teardown_name, **wiring.teardown_arguments())
        undo.as_teardown(setups=act)
        return act, undo

    def _dump(self, members: BaseOperator) -> Any:
        execution = self.configuration.spec.execution
        return DumpOperator.partial(
            **self._common(BackupStep.DUMP),
            execution_timeout=self.session.backup_timeout,
            max_active_tis_per_dagrun=execution.max_parallel_dumps,
            map_index_template=DumpOperator.component_template,
            **wiring.data_pool(self.subject.objects),
        ).expand(member=members.output)

    def _copy(self) -> Any:
        """One task per copy; None without copies."""
        copies = self.subject.objects.copies
        if not copies:
            return None
        return CopyOperator.partial(
            **self._common(BackupStep.COPY),
            execution_timeout=max(copy.settings.timeout for copy in copies) + wiring.SHORT,
            map_index_template=CopyOperator.name_template,
            **wiring.store_pool(self.subject.objects),
        ).expand(copy_name=[copy.settings.name for copy in copies])

    def _verification(self) -> list[AssetAlias]:
        """What a commit tells that makes a verification run, where one is to follow backups."""
        settings = self.configuration.spec.verification
        return [unverified_alias(self.configuration.name)] if settings and settings.after_backups else []

    def _commit(self) -> BaseOperator:
        """It runs after the teardowns, however they went, and itself sees whether all dumps are there."""
        return self._task(
            BackupStep.COMMIT_SNAPSHOT,
            CommitSnapshotOperator,
            trigger_rule=TriggerRule.ALL_DONE,
            execution_timeout=timedelta(hours=1),
            **wiring.store_pool(self.subject.objects),
            outlets=[snapshots_asset(self.configuration.name), *self._verification()],
        )
