"""The DAG `verify.<configuration>`: wiring and trigger form alone.

::

    choose_set -> restore_and_compare -> push_metrics -> finish

It runs on its own schedule, and when a backup's commit says that enough snapshots wait for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, AssetOrTimeSchedule, Param, TriggerRule

from mongo_backup.agent.verify_contract import VerifyStep
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup_airflow.assets import unverified_asset
from mongo_backup_airflow.builders import wiring
from mongo_backup_airflow.builders.words import VERIFY_TASKS, verify_words
from mongo_backup_airflow.operators.source import source_form
from mongo_backup_airflow.operators.verify import (
    FinishVerificationOperator,
    VerificationMetricsOperator,
    VerifyOperator,
)
from mongo_backup_airflow.subject import Subject

RETRIES = 2
RETRY_DELAY = timedelta(minutes=2)
MAX_RETRY_DELAY = timedelta(minutes=30)


def build_verify_dag(subject: Subject) -> DAG:
    """Build the DAG that verifies what a configuration backs up."""
    configuration = subject.objects.configuration
    settings = configuration.spec.verification or VerificationSettings()
    dag = DAG(
        dag_id=wiring.verify_dag_id(configuration.name),
        description=f"Restores what {configuration.name} backed up into a throw-away MongoDB and compares",
        schedule=_schedule(configuration.name, settings),
        is_paused_upon_creation=settings.paused,
        default_args=wiring.default_arguments(retries=RETRIES, delay=RETRY_DELAY, longest=MAX_RETRY_DELAY),
        doc_md=verify_words(subject),
        params=trigger_form(subject),
        **{
            **wiring.dag_arguments(configuration, family="verify", topology=subject.objects.target.spec.topology),
            "max_active_runs": 1,  # it holds nothing on the target, so it never stands in another run's way
        },
    )
    with dag:
        _wire(subject, settings)
    return dag


def _schedule(configuration: str, settings: VerificationSettings) -> Any:
    timetable = wiring.cron(settings.schedule, timezone=settings.timezone)
    if settings.after_backups is None:
        return timetable
    asset = unverified_asset(configuration)
    return AssetOrTimeSchedule(timetable=timetable, assets=[asset]) if timetable else [asset]


def trigger_form(subject: Subject) -> dict[str, Param]:
    """What the trigger form asks. The core checks the values again: forms are a convenience."""
    return {
        "snapshot": Param(
            "latest",
            type="string",
            minLength=1,
            title="Snapshot",
            description_md="`latest` is the newest complete snapshot; or the id of one.",
        ),
        **source_form(subject.objects),
    }


def _wire(subject: Subject, settings: VerificationSettings) -> None:
    def task(step: VerifyStep, kind: type[VerifyOperator] = VerifyOperator, **more: Any) -> VerifyOperator:
        return kind(task_id=step.value, step=step.value, subject=subject, doc_md=VERIFY_TASKS[step.value], **more)

    choose = task(VerifyStep.CHOOSE_SET)
    compare = task(VerifyStep.RESTORE_AND_COMPARE, execution_timeout=settings.timeout)
    metrics = task(VerifyStep.PUSH_METRICS, VerificationMetricsOperator, trigger_rule=TriggerRule.ALL_DONE)
    finish = task(
        VerifyStep.FINISH, FinishVerificationOperator, **wiring.finish_arguments(subject.objects.configuration)
    )
    wiring.chain_tasks([choose, compare, metrics])
    wiring.close_run(finish, after=[compare, metrics])
