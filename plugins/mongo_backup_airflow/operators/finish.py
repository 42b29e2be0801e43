"""The last task of every DAG: leaves nothing of the run on the target and makes its colour honest.

It is the only task whose state counts for the run's (see `builders.wiring`), so it must look at all the others. Airflow
on its own makes runs green in which everything failed: when a run is marked failed by hand, for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException

from mongo_backup_airflow.operators.base import REASON_KEY, AgentOperator
from mongo_backup_airflow.outcome import longest_by_task, task_states, what_is_wrong

if TYPE_CHECKING:
    from airflow.sdk import Context

MOST_REASONS = 5
"""So many failed tasks are asked why: a store that is away fails hundreds of dumps for one reason."""
TRIES_OF_THE_UNTOUCHED = 3
"""The sweep's tries when the run's first task never succeeded: there is most likely nothing to sweep, and what made
that task fail mostly makes the sweep fail too."""


class FinishMixin(AgentOperator):
    """Runs the agent's `finish`, then raises unless every task of the run did what it should."""

    complete_task: ClassVar[str]
    """The task after which the work counts."""
    complete_words: ClassVar[str]
    first_task: ClassVar[str]

    def execute(self, context: Context) -> Any:
        """Sweep, then judge.

        :raises AirflowFailException: the run is not clean; it names the tasks that failed, and why they did.
        """
        states = states_of_run(context)
        wrong = what_is_wrong(states, reasons_of_run(context, states))
        try:
            result = self.run_step(context)
        except Exception as error:
            untouched = states.get(self.first_task) != "success" and context["ti"].try_number >= TRIES_OF_THE_UNTOUCHED
            if untouched or isinstance(error, AirflowFailException):
                raise AirflowFailException(f"{self._verdict(states, wrong)}; and the sweep failed: {error}") from error
            raise
        if result.get("swept"):
            self.log.warning("Left over from this run, undone now: %s", ", ".join(result["swept"]))
        if wrong is not None:
            raise AirflowFailException(self._verdict(states, wrong))
        return result

    def more(self, context: Context) -> dict[str, Any]:
        """States of the run's tasks."""
        return {"states": states_of_run(context)}

    def incomplete(self, states: dict[str, str]) -> str:
        """What to say of a run whose work is not complete."""
        raise NotImplementedError

    def _verdict(self, states: dict[str, str], wrong: str | None) -> str:
        complete = states.get(self.complete_task) == "success"
        words = self.complete_words if complete else self.incomplete(states)
        return f"{words}: {wrong or 'all other tasks succeeded'}"


def states_of_run(context: Context) -> dict[str, str]:
    """States of all tasks of this run but the asking one."""
    ti = context["ti"]
    found = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    mapped = {task.task_id for task in context["dag"].tasks if task.is_mapped}
    return task_states(found, mapped=mapped, own=ti.task_id)


def reasons_of_run(context: Context, states: Mapping[str, str]) -> dict[str, str]:
    """Why tasks failed, in their own words, by their names; of the first few. One that was killed left none."""
    failed = sorted(task for task, state in states.items() if state == "failed")
    found = {name: _reason(context, name) for name in failed[:MOST_REASONS]}
    return {name: reason for name, reason in found.items() if reason}


def _reason(context: Context, name: str) -> str:
    task, _, index = name.partition("[")
    place = int(index.rstrip("]")) if index else -1
    return str(context["ti"].xcom_pull(task_ids=task, key=REASON_KEY, map_indexes=place) or "")


def times_of_run(context: Context) -> dict[str, Any]:
    """How long the run and its tasks took: `run_seconds`, `step_seconds`, as metrics want them."""
    ti, began = context["ti"], context["dag_run"].start_date
    ended = ti.get_task_breadcrumbs(ti.dag_id, ti.run_id)  # type: ignore[attr-defined]  # missing in the protocol alone
    return {
        "run_seconds": (datetime.now(UTC) - began).total_seconds() if began else None,
        "step_seconds": longest_by_task(ended),
    }
