"""What people are told of a run, from what Airflow gives to a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LONGEST_REASON = 1000

SAID = {"failure": "failed", "success": "succeeded", "late": "has no good run by its deadline"}
"""What an event says of its run."""


def facts(event: str, context: Mapping[str, Any]) -> dict[str, str]:
    """The facts of a run; `text` says them in a line.

    :param context: of a task's callback (Airflow's objects), or of a deadline's (plain values).
    """
    run = context.get("dag_run")
    dag, run_id = _of(run, "dag_id"), _of(run, "run_id") or _of(run, "dag_run_id")  # the latter in a deadline's
    reason = _reason(event, context)
    return {
        "event": event,
        "dag": dag,
        "run": run_id,
        "reason": reason,
        "text": f"{dag} {SAID[event]}: {reason or run_id}",
    }


def _reason(event: str, context: Mapping[str, Any]) -> str:
    if event == "late":
        due = str((context.get("deadline") or {}).get("deadline_time", ""))
        state = _of(context.get("dag_run"), "state")
        return f"due {due}, the run of that time is {state}" if due else ""
    error = context.get("exception")
    return str(error)[:LONGEST_REASON] if event == "failure" and error is not None else ""


def _of(run: Any, name: str) -> str:
    value = run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
    return str(getattr(value, "value", value) or "")
