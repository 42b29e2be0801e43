from __future__ import annotations

import pytest

from mongo_backup.locks.safety import LockFacts, lock_problem
from mongo_backup.topology.model import Component, ComponentRole, Member


def problem(voters: int, *, without_data: int = 0, down: int = 0, facts: LockFacts | None = None) -> str | None:
    """Of locking one secondary of a set: so many voters, of which so many are arbiters and so many are down."""
    states = ["PRIMARY", "SECONDARY"] + ["SECONDARY"] * (voters - 2 - without_data - down)
    members = [Member(host=f"m{n}:1", state=state, lag_seconds=0) for n, state in enumerate(states)]
    members += [Member(host=f"d{n}:1", state="DOWN", healthy=False) for n in range(down)]
    members += [Member(host=f"a{n}:1", state="ARBITER", arbiter=True) for n in range(without_data)]
    component = Component(name="rs0", role=ComponentRole.REPLICA_SET, replica_set="rs0", members=tuple(members))
    return lock_problem(component, members[1], facts=facts or LockFacts())


@pytest.mark.parametrize(
    ("voters", "without_data", "down", "safe"),
    [
        (2, 0, 0, False),
        (3, 0, 0, True),
        (3, 1, 0, False),
        (3, 0, 1, False),
        (4, 0, 0, True),
        (4, 1, 0, False),
        (5, 0, 0, True),
        (5, 1, 0, True),
        (5, 2, 0, False),
        (5, 0, 1, True),
        (5, 0, 2, False),
        (7, 0, 2, True),
        (7, 0, 3, False),
    ],
)
def test_a_majority_must_be_left(voters: int, without_data: int, down: int, safe: bool) -> None:
    found = problem(voters, without_data=without_data, down=down)
    assert (found is None) is safe, found


@pytest.mark.parametrize(("window", "safe"), [(99.9, False), (100.0, True), (None, True)])
def test_the_oplog_must_reach_back_twice_the_expected_lock(window: float | None, safe: bool) -> None:
    found = problem(3, facts=LockFacts(oplog_window_seconds=window, expected_lock_seconds=50))
    assert (found is None) is safe, found


def test_a_primary_is_never_locked() -> None:
    primary = Member(host="a:1", state="PRIMARY", lag_seconds=0)
    others = [Member(host=f"{name}:1", state="SECONDARY", lag_seconds=0) for name in "bcd"]
    component = Component(name="rs0", role=ComponentRole.REPLICA_SET, members=(primary, *others))
    assert lock_problem(component, primary, facts=LockFacts()) == "it is PRIMARY; only a secondary may be locked"
