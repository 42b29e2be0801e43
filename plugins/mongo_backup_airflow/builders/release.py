"""The DAG `release_locks`, the watchdog: one for all objects, one mapped task per deployment.

It undoes what no run undid itself: its DAG is paused or gone, its worker is dead, Airflow's database was lost. It
knows nothing of runs but what their journals say, so it also undoes for runs of another Airflow.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.object_set import ObjectSet
from mongo_backup.objects.schedule import check_schedule
from mongo_backup_airflow.builders import wiring
from mongo_backup_airflow.builders.words import RELEASE_TASKS, release_words
from mongo_backup_airflow.delays import demonstration_delay
from mongo_backup_airflow.operators.release import ReleaseLocksOperator, WatchedTargets
from mongo_backup_airflow.runners.base import runs_in_pod
from mongo_backup_airflow.subject import Subject

SCHEDULE_VARIABLE = "MONGO_BACKUP_RELEASE_SCHEDULE"
SCHEDULE = "*/5 * * * *"
LIMIT = timedelta(minutes=2)
"""Longest time for one deployment: also with its second try less than between two runs."""
RETRY_DELAY = timedelta(seconds=30)
SIDE_BY_SIDE = 16


def build_release_dag(objects: ObjectSet) -> DAG:
    """Build the watchdog of all deployments that any configuration backs up or may restore into."""
    watched = watched_targets(objects)
    dag = DAG(
        dag_id=wiring.RELEASE_DAG_ID,
        description="Undoes what dead runs left on their targets: locks, stopped balancers, history windows",
        schedule=wiring.cron(schedule(), timezone="UTC"),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=SIDE_BY_SIDE,
        is_paused_upon_creation=False,
        default_args={
            "owner": wiring.OWNER,
            "retries": 1,  # for an Airflow that is just starting; the next run is the next try for all else
            "retry_delay": demonstration_delay() or RETRY_DELAY,
            "email_on_failure": False,
            "email_on_retry": False,
        },
        tags=["mongo-backup", "watchdog"],
        doc_md=release_words(sorted(watched.subjects)),
        auto_register=False,
    )
    with dag:
        ReleaseLocksOperator.partial(
            task_id="release_expired",
            watched=watched,
            doc_md=RELEASE_TASKS["release_expired"],
            execution_timeout=LIMIT + max(_time_to_start(subject) for subject in watched.subjects.values()),
            map_index_template=ReleaseLocksOperator.target_template,
        ).expand(target=sorted(watched.subjects))
    return dag


def schedule() -> str:
    """When it runs.

    :raises ConfigurationError: `MONGO_BACKUP_RELEASE_SCHEDULE` is no schedule.
    """
    try:
        return check_schedule(os.environ.get(SCHEDULE_VARIABLE) or SCHEDULE)
    except ValueError as error:
        raise ConfigurationError(f"{SCHEDULE_VARIABLE}: {error}") from None


def watched_targets(objects: ObjectSet) -> WatchedTargets:
    """Every deployment that a configuration backs up, and those of the same topology, which it may restore into.

    Each is looked at where the first configuration that may touch it runs its steps.
    """
    subjects: dict[str, Subject] = {}
    resolved = [objects.resolve(configuration.name) for configuration in objects.configurations()]
    for each in resolved:
        subjects.setdefault(each.target.name, Subject(objects=each))
    backed_up = frozenset(subjects)
    for each in resolved:
        for name, binding in objects.app_bindings.items():
            if name not in subjects and binding.spec.topology is each.target.spec.topology:
                subjects[name] = Subject(objects=each.model_copy(update={"target": binding}))
    return WatchedTargets(subjects=subjects, backed_up=backed_up)


def _time_to_start(subject: Subject) -> timedelta:
    execution = subject.objects.configuration.spec.execution
    return execution.start_timeout if runs_in_pod(execution, "release.expired") else timedelta()
