"""The DAG `restore.<configuration>`: wiring and trigger form alone.

::

    plan_restore -> approve -> hooks_before -> disable_balancer -> drop_existing -> restore (mapped)
      -> restore_metadata -> build_indexes -> verify_restore -> enable_balancer (teardown) -> push_metrics
      -> hooks_after -> finish
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, Param, TriggerRule

from mongo_backup.agent.restore_contract import Existing, RestoreStep, UserPolicy
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.hooks import Hook, longest
from mongo_backup_airflow.builders import wiring
from mongo_backup_airflow.builders.words import RESTORE_TASKS, restore_words
from mongo_backup_airflow.operators.hooks import RestoreHooksOperator
from mongo_backup_airflow.operators.restore import (
    WORDS_KEY,
    FinishRestoreOperator,
    MongoRestoreOperator,
    PlanRestoreOperator,
    RestoreMetricsOperator,
    RestoreStepOperator,
)
from mongo_backup_airflow.operators.source import source_form
from mongo_backup_airflow.subject import Subject

APPROVE = "approve"
APPROVAL_TIMEOUT = timedelta(days=1)
"""After this a plan that nobody answered counts as rejected."""
RETRIES = 3
RETRY_DELAY = timedelta(minutes=1)
MAX_RETRY_DELAY = timedelta(minutes=5)


def build_restore_dag(subject: Subject) -> DAG:
    """Build the DAG that restores what a configuration backed up."""
    configuration = subject.objects.configuration
    dag = DAG(
        dag_id=wiring.restore_dag_id(configuration.name),
        description=f"Restores what {configuration.name} backed up",
        schedule=None,
        allowed_run_types=["manual"],  # type: ignore[list-item]  # turned into DagRunType by the DAG
        is_paused_upon_creation=False,
        default_args=wiring.default_arguments(retries=RETRIES, delay=RETRY_DELAY, longest=MAX_RETRY_DELAY),
        doc_md=restore_words(subject),
        params=trigger_form(subject),
        **wiring.dag_arguments(configuration, family="restore", topology=subject.objects.target.spec.topology),
    )
    with dag:
        _Tasks(subject).wire()
    return dag


def trigger_form(subject: Subject) -> dict[str, Param]:
    """What the trigger form asks. The core checks the values again: forms are a convenience."""
    own = subject.objects.target.name
    namespaces: dict[str, Any] = {
        "type": ["null", "array"],
        "items": {"type": "string"},
        "section": "Part of the snapshot",
    }
    return {
        "snapshot": Param(
            "latest",
            type="string",
            minLength=1,
            title="Snapshot",
            description_md="`latest` is the newest complete snapshot; or the id of one.",
        ),
        **source_form(subject.objects),
        "target": Param(
            own,
            type="string",
            enum=sorted({own, *subject.targets}),
            title="Target",
            description_md=f"The AppBinding to restore into. The backup came from `{own}`.",
        ),
        "existing": Param(
            Existing.REFUSE.value,
            type="string",
            enum=[each.value for each in Existing],
            title="Existing data",
            description_md="`refuse`: stop if a namespace of the snapshot exists. `drop`: drop it first. "
            "`merge`: add documents.",
        ),
        "users": Param(
            UserPolicy.SKIP.value,
            type="string",
            enum=[each.value for each in UserPolicy],
            title="Users and roles",
            description_md="`skip`: leave the target's as they are. `merge`: add those it does not have. "
            "`replace`: it has those of the snapshot and no others. Never the account in use.",
        ),
        "include": Param(
            [], title="Only these namespaces", description_md="`shop.orders` or `shop.*`; empty: all.", **namespaces
        ),
        "exclude": Param([], title="Not these namespaces", description_md="`shop.orders` or `shop.*`.", **namespaces),
        **(_new_shards() if subject.objects.target.spec.topology is TopologyKind.SHARDED else _new_names()),
    }


def _new_names() -> dict[str, Param]:
    name = r"[^.$*\s]+\.(\*|[^$*\s]+)"
    return {
        "rename": Param(
            {},
            type=["null", "object"],
            propertyNames={"pattern": f"^{name}$"},
            additionalProperties={"type": "string", "pattern": f"^{name}$"},
            title="New names",
            description_md='`{"shop.orders": "shop.orders_old"}`, or a whole database: `{"shop.*": "shop_old.*"}`.',
            section="Under other names",
        )
    }


def _new_shards() -> dict[str, Param]:
    return {
        "shard_map": Param(
            {},
            type=["null", "object"],
            additionalProperties={"type": "string", "minLength": 1},
            title="Shards with another name",
            description_md='Shards of the snapshot whose name on the target is another: `{"shard0": "rs-a"}`.',
            section="Under other names",
        )
    }


class _Tasks:
    """The tasks of one restore DAG."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.configuration = subject.objects.configuration
        self.sharded = subject.objects.target.spec.topology is TopologyKind.SHARDED
        self.long: dict[str, Any] = {"execution_timeout": self.configuration.spec.restore.restore_timeout}

    def wire(self) -> None:
        """Make the tasks and put them in order."""
        plan = self._task(RestoreStep.PLAN_RESTORE, PlanRestoreOperator)
        hooks = self.configuration.spec.restore.hooks
        before = self._hooks(RestoreStep.HOOKS_BEFORE, hooks.before)
        after = self._hooks(RestoreStep.HOOKS_AFTER, hooks.after)
        stop, start = self._balancer() if self.sharded else (None, None)
        drop = self._task(RestoreStep.DROP_EXISTING)
        restore = self._restore(plan)
        routing = self._task(RestoreStep.RESTORE_METADATA) if self.sharded else None
        indexes = self._task(RestoreStep.BUILD_INDEXES, **self.long)
        verify = self._task(RestoreStep.VERIFY_RESTORE, **self.long)
        metrics = self._task(RestoreStep.PUSH_METRICS, RestoreMetricsOperator, trigger_rule=TriggerRule.ALL_DONE)
        finish = self._task(RestoreStep.FINISH, FinishRestoreOperator, **wiring.finish_arguments(self.configuration))
        wiring.chain_tasks([plan, self._approval(), before, stop, drop, restore, routing, indexes])
        wiring.chain_tasks([indexes, verify, start, metrics])
        if stop is not None and start is not None:
            # Whichever of them is cleared takes the setup with it and nothing between: it must wait for that itself.
            stop >> [task for task in (restore, routing, indexes, verify) if task is not None]
            verify >> metrics  # a task with nothing but teardowns below it would count for the run's colour
        wiring.close_run(finish, after=[verify, start, metrics], hooks=after)

    def _task(
        self, step: RestoreStep, kind: type[RestoreStepOperator] = RestoreStepOperator, **more: Any
    ) -> RestoreStepOperator:
        return kind(task_id=step.value, step=step.value, subject=self.subject, doc_md=RESTORE_TASKS[step.value], **more)

    def _hooks(self, step: RestoreStep, hooks: tuple[Hook, ...]) -> BaseOperator | None:
        return self._task(step, RestoreHooksOperator, execution_timeout=longest(hooks)) if hooks else None

    def _balancer(self) -> tuple[BaseOperator, BaseOperator]:
        stop = self._task(RestoreStep.DISABLE_BALANCER)
        start = self._task(RestoreStep.ENABLE_BALANCER, **wiring.teardown_arguments())
        start.as_teardown(setups=stop)
        return stop, start

    def _restore(self, plan: BaseOperator) -> Any:
        execution = self.configuration.spec.execution
        return MongoRestoreOperator.partial(
            task_id=RestoreStep.RESTORE.value,
            step=RestoreStep.RESTORE.value,
            subject=self.subject,
            doc_md=RESTORE_TASKS["restore"],
            max_active_tis_per_dagrun=execution.max_parallel_dumps,
            map_index_template=MongoRestoreOperator.component_template,
            **self.long,
            **wiring.data_pool(self.subject.objects),
        ).expand(component=plan.output)

    def _approval(self) -> BaseOperator | None:
        if not self.configuration.spec.restore.approval:
            return None
        from airflow.providers.standard.operators.hitl import ApprovalOperator

        return ApprovalOperator(
            task_id=APPROVE,
            subject=f"Restore {self.configuration.name} into {{{{ params.target }}}}?",
            body=f"{{{{ ti.xcom_pull('{RestoreStep.PLAN_RESTORE.value}', key='{WORDS_KEY}') }}}}",
            defaults=ApprovalOperator.REJECT,
            response_timeout=APPROVAL_TIMEOUT,
            execution_timeout=None,
            ignore_downstream_trigger_rules=True,
            retries=0,
            doc_md=RESTORE_TASKS[APPROVE],
        )
