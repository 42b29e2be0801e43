"""Whether a run is what it should be, judged by the states of its tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

GOOD = frozenset({"success", "removed"})
"""`removed`: a mapped task of an older try whose list was longer."""
CAUSES = ("failed", "upstream_failed", "skipped")
"""Bad ends, the telling one first: the others follow from it."""


def task_states(states: Mapping[str, object], *, mapped: Collection[str], own: str) -> dict[str, str]:
    """Return the states as Airflow gives them, with names for people and without the asking task.

    Airflow calls a mapped task's third instance `dump_2`; people know it as `dump[2]`.
    """
    named: dict[str, str] = {}
    for name, state in states.items():
        task, _, index = name.rpartition("_")
        shown = f"{task}[{index}]" if task in mapped and index.isdigit() else name
        if shown != own:
            named[shown] = str(getattr(state, "value", state) or "no_status")
    return named


def what_is_wrong(states: Mapping[str, str], reasons: Mapping[str, str] | None = None) -> str | None:
    """Say in one line which tasks did not succeed, causes first, then why; None if all is well.

    :param reasons: the words of tasks that failed.
    """
    bad = {name: state for name, state in states.items() if state not in GOOD}
    if not bad:
        return None
    order = {state: position for position, state in enumerate(CAUSES)}
    ranked = sorted(bad, key=lambda name: (order.get(bad[name], -1), name))
    listed = ", ".join(f"{name} {bad[name].replace('_', ' ')}" for name in ranked)
    words = [f"{name}: {reason}" for name, reason in (reasons or {}).items() if bad.get(name) == "failed"]
    return "; ".join([listed, *words])


def longest_by_task(ended: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each task that ran, of a mapped one those of its longest instance.

    :param ended: task instances as Airflow's breadcrumbs tell of them: `task_id`, `duration`.
    """
    longest: dict[str, float] = {}
    for each in ended:
        if each["duration"] is not None:
            longest[each["task_id"]] = max(float(each["duration"]), longest.get(each["task_id"], 0.0))
    return longest
