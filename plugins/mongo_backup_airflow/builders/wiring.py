"""What the DAGs of all families share: names, retries, time limits, and the last task that decides the run's colour.

Rules, each measured on Airflow 3.3 (`docs/architecture`):

- Never `dagrun_timeout`: it skips teardowns, and members stay locked. Tasks have an `execution_timeout`.
- `finish` is a teardown without setups, so it always runs, also when a run is marked failed by hand, and it has
  `on_failure_fail_dagrun`, so it is the one task from which Airflow computes the run's state.
- A teardown has many tries: an outage of the API server fails tasks that are running in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseOperator, CronTriggerTimetable

from mongo_backup.objects.configuration import BackupConfiguration, Concurrency
from mongo_backup.objects.resolved import Objects
from mongo_backup_airflow.builders.telling import callbacks
from mongo_backup_airflow.delays import demonstration_delay

OWNER = "mongo-backup"
RELEASE_DAG_ID = "release_locks"
TEARDOWN_TRIES = 20
LONGEST_TAG = 100
"""Airflow refuses a DAG with a longer tag (`TAG_MAX_LEN` in its `DAG`); Kubernetes takes longer labels."""
BACKOFF = 2.0
"""Each wait for another try is this much longer than the one before (Airflow adds up to as much again, by chance)."""

_NOT_AT_ONCE = timedelta(0)
"""Of a timetable's `run_immediately`: with False a new DAG whose time was a short while ago (a tenth of its interval,
up to 17 hours for a weekly one) runs the moment it appears."""
SHORT = timedelta(minutes=15)
"""Longest time of a step that moves no data."""
LONG = timedelta(hours=6)
"""Longest time of a step that works on the repository alone."""


def cron(schedule: str | None, *, timezone: str) -> CronTriggerTimetable | None:
    """The timetable of a DAG; None without a schedule."""
    return CronTriggerTimetable(schedule, timezone=timezone, run_immediately=_NOT_AT_ONCE) if schedule else None


def backup_dag_id(configuration: str, session: str) -> str:
    """The DAG of one session."""
    return f"backup.{configuration}.{session}"


def restore_dag_id(configuration: str) -> str:
    """The DAG that restores what a configuration backed up."""
    return f"restore.{configuration}"


def maintain_dag_id(configuration: str, copy: str | None = None) -> str:
    """The DAG that looks after a configuration's repository, or after a copy."""
    return f"maintain.{configuration}.{copy}" if copy else f"maintain.{configuration}"


def verify_dag_id(configuration: str) -> str:
    """The DAG that verifies what a configuration backs up."""
    return f"verify.{configuration}"


def default_arguments(*, retries: int, delay: timedelta, longest: timedelta) -> dict[str, Any]:
    """Arguments of every task, unless it says otherwise.

    :param delay: before the second try.
    :param longest: before any further one.
    """
    fixed = demonstration_delay()
    return {
        "owner": OWNER,
        "retries": retries,
        "retry_delay": delay if fixed is None else fixed,
        "retry_exponential_backoff": BACKOFF if fixed is None else 0,
        "max_retry_delay": longest,
        "execution_timeout": SHORT,
        "email_on_failure": False,
        "email_on_retry": False,
    }


def teardown_arguments() -> dict[str, Any]:
    """Arguments of a task that must not fail."""
    return {
        "retries": TEARDOWN_TRIES,
        "retry_delay": demonstration_delay() or timedelta(seconds=30),
        "retry_exponential_backoff": 0,
        "priority_weight": 10,
    }


def finish_arguments(configuration: BackupConfiguration) -> dict[str, Any]:
    """Arguments of the last task: it must not fail, and people are told what it says of the run."""
    return {**teardown_arguments(), **callbacks(configuration)}


def dag_arguments(configuration: BackupConfiguration, *, family: str, topology: str) -> dict[str, Any]:
    """Arguments of every DAG."""
    labels = [f"{key}:{value}" if value else key for key, value in sorted(configuration.metadata.labels.items())]
    tags = ["mongo-backup", family, topology.replace("_", "-"), *(label[:LONGEST_TAG] for label in labels)]
    return {
        "catchup": False,
        # Airflow lets a second run of the same DAG wait; where that is forbidden it must begin, to fail.
        "max_active_runs": 1 if configuration.spec.concurrency is Concurrency.QUEUE else 2,
        "max_active_tasks": configuration.spec.execution.max_parallel_dumps + 1,
        "tags": tags,
        "fail_fast": False,
        "auto_register": False,  # only what a DAG file has as a global is a DAG of that file
    }


def data_pool(objects: Objects) -> dict[str, Any]:
    """The pool of a task that moves data, as its argument: Airflow puts a task into one pool."""
    mine = objects.configuration.spec.execution.pool
    return _pool(mine or objects.target.spec.pool or objects.storage.spec.pool)


def store_pool(objects: Objects) -> dict[str, Any]:
    """The pool of a task that works on the repository alone."""
    return _pool(objects.storage.spec.pool)


def _pool(name: str | None) -> dict[str, Any]:
    return {"pool": name} if name else {}


def chain_tasks(tasks: Iterable[BaseOperator | None]) -> None:
    """Put tasks one after the other, leaving out what this topology does not have."""
    present = [task for task in tasks if task is not None]
    for before, after in itertools.pairwise(present):
        before >> after


def close_run(finish: BaseOperator, *, after: Iterable[BaseOperator | None], hooks: BaseOperator | None = None) -> None:
    """Make `finish` the last task.

    It hangs below the teardowns and the last ordinary task, each by itself: when a run is marked failed, ordinary
    tasks are skipped at once while teardowns still work. It must not hang below a setup, whose failure would keep it
    from running.

    And it hangs below each task that only such tasks follow as run whatever happens: "Clear only failed" clears the
    failed task and `finish` and not what ran between them, so `finish` would look while the task runs again, and leave
    what that task then leaves.

    :param hooks: the hooks after the run: a teardown without setups too, so that they run whatever happens, when all
        else is over; `finish` alone still decides.
    """
    last = [task for task in after if task is not None]
    for task in last:
        task >> finish
    if hooks is not None:
        last >> hooks
        hooks >> finish
        hooks.as_teardown()
    finish.as_teardown(on_failure_fail_dagrun=True)


def leaf_tasks(dag: DAG) -> set[str]:
    """Ids of the tasks from which Airflow computes the run's state (`DagRun._tis_for_dagrun_state`)."""

    def counts(task: Any) -> bool:
        return not task.is_teardown or bool(task.on_failure_fail_dagrun)

    return {
        task.task_id
        for task in dag.tasks
        if counts(task) and not any(counts(dag.get_task(below)) for below in task.downstream_task_ids)
    }
