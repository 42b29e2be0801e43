"""The DAGs `maintain.<configuration>` and `maintain.<configuration>.<copy>`: wiring alone.

::

    check -> prune -> push_metrics -> finish

Nothing is pruned in a repository that is damaged: what can still be read of it might go.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, TriggerRule

from mongo_backup.agent.maintain_contract import MaintainStep
from mongo_backup_airflow.builders import wiring
from mongo_backup_airflow.builders.words import MAINTAIN_TASKS, maintain_words
from mongo_backup_airflow.operators.maintain import (
    FinishMaintenanceOperator,
    MaintainOperator,
    MaintenanceMetricsOperator,
)
from mongo_backup_airflow.subject import Subject

RETRIES = 3
RETRY_DELAY = timedelta(minutes=5)
MAX_RETRY_DELAY = timedelta(hours=1)


def build_maintain_dag(subject: Subject) -> DAG:
    """Build the DAG that looks after a configuration's repository, or after the copy that stands in its place."""
    configuration, copy = subject.objects.configuration, subject.objects.copy_name
    settings = configuration.spec.maintenance
    dag = DAG(
        dag_id=wiring.maintain_dag_id(configuration.name, copy),
        description=f"Checks and prunes {subject.objects.words}",
        schedule=wiring.cron(settings.schedule, timezone=settings.timezone),
        is_paused_upon_creation=settings.paused,
        default_args=wiring.default_arguments(retries=RETRIES, delay=RETRY_DELAY, longest=MAX_RETRY_DELAY),
        doc_md=maintain_words(subject),
        **{
            **wiring.dag_arguments(configuration, family="maintain", topology=subject.objects.target.spec.topology),
            "max_active_runs": 1,
        },
    )
    with dag:
        _wire(subject)
    return dag


def _wire(subject: Subject) -> None:
    def task(step: MaintainStep, kind: type[MaintainOperator] = MaintainOperator, **more: Any) -> MaintainOperator:
        return kind(task_id=step.value, step=step.value, subject=subject, doc_md=MAINTAIN_TASKS[step.value], **more)

    settings = subject.objects.configuration.spec.maintenance
    limit = wiring.SHORT + settings.wait + settings.timeout
    check = task(MaintainStep.CHECK, execution_timeout=limit)
    prune = task(MaintainStep.PRUNE, execution_timeout=limit)
    metrics = task(MaintainStep.PUSH_METRICS, MaintenanceMetricsOperator, trigger_rule=TriggerRule.ALL_DONE)
    finish = task(
        MaintainStep.FINISH, FinishMaintenanceOperator, **wiring.finish_arguments(subject.objects.configuration)
    )
    wiring.chain_tasks([check, prune, metrics])
    wiring.close_run(finish, after=[prune, metrics])
