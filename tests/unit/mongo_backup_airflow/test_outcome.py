"""What the last task of a run makes of the states of the others."""

from __future__ import annotations

from enum import Enum

import pytest

from mongo_backup_airflow.outcome import task_states, what_is_wrong


class State(str, Enum):  # noqa: UP042 - this is how Airflow writes its own
    """As Airflow hands states over."""

    FAILED = "failed"


def test_names_for_people() -> None:
    given = {"prepare": "success", "dump_0": State.FAILED, "dump_12": None, "finish": "running", "lock_2": "success"}
    assert task_states(given, mapped={"dump"}, own="finish") == {
        "prepare": "success",
        "dump[0]": "failed",
        "dump[12]": "no_status",
        "lock_2": "success",
    }


def test_all_is_well() -> None:
    assert what_is_wrong({"prepare": "success", "dump[0]": "success", "dump[9]": "removed"}) is None


@pytest.mark.parametrize(
    "state", ["failed", "upstream_failed", "skipped", "running", "queued", "up_for_retry", "no_status", "restarting"]
)
def test_nothing_but_success_is_well(state: str) -> None:
    assert what_is_wrong({"prepare": "success", "dump[0]": state}) == f"dump[0] {state.replace('_', ' ')}"


def test_causes_first() -> None:
    states = {"a": "skipped", "b": "upstream_failed", "c": "failed", "d": "success", "e": "failed"}
    assert what_is_wrong(states) == "c failed, e failed, b upstream failed, a skipped"


def test_and_why() -> None:
    states = {"dump[0]": "success", "dump[1]": "failed", "commit": "skipped"}
    reasons = {"dump[1]": "shard0 is away", "dump[0]": "of an older try"}
    assert what_is_wrong(states, reasons) == "dump[1] failed, commit skipped; dump[1]: shard0 is away"
