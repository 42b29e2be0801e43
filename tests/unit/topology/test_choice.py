from __future__ import annotations

from typing import Any

import pytest

from mongo_backup.errors import PreconditionError
from mongo_backup.locks.safety import LockFacts
from mongo_backup.objects.app_binding import MemberPreference, TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.choice import choose_members
from mongo_backup.topology.model import ChosenMember, Component, ComponentRole, Member, ReadMode, Topology

P, S = "PRIMARY", "SECONDARY"


def member(name: str, state: str = S, **fields: Any) -> Member:
    fields.setdefault("lag_seconds", None if state == "ARBITER" else 0.0)
    return Member(host=f"{name}:1", state=state, arbiter=state == "ARBITER", **fields)


def topology(*members: Member) -> Topology:
    component = Component(name="rs0", role=ComponentRole.REPLICA_SET, replica_set="rs0", members=members)
    return Topology(kind=TopologyKind.REPLICA_SET, components=(component,), server_version="6.0.5")


def choose(*members: Member, **options: Any) -> ChosenMember:
    settings: dict[str, Any] = {
        "preference": MemberPreference(),
        "consistency": Consistency.LOCKED,
        "when_unsafe": "snapshot",
        **options,
    }
    return choose_members(topology(*members), **settings)[0]


A, B = member("a", P), member("b")

ORDER = [
    ("hidden before priority 0", [A, B, member("c", priority=0), member("d", hidden=True, priority=0)], {}, "d"),
    ("priority 0 before the others", [A, B, member("c", priority=0, lag_seconds=5)], {}, "c"),
    ("least behind", [A, member("b", lag_seconds=7), member("c", lag_seconds=2)], {}, "c"),
    (
        "a lag of parts of a second does not count",
        [A, member("b", lag_seconds=0.4), member("c", lag_seconds=0.1)],
        {},
        "b",
    ),
    ("preferred before hidden", [A, B, member("c", hidden=True, priority=0)], {"preferred": ("b:1",)}, "b"),
    ("preferred in their order", [A, B, member("c"), member("d")], {"preferred": ("d:1", "c:1")}, "d"),
    (
        "tags before hidden",
        [A, member("b", tags={"for": "backup", "x": "y"}), member("c", hidden=True, priority=0)],
        {"tags": {"for": "backup"}},
        "b",
    ),
    (
        "a preferred member that is down",
        [A, member("b", "DOWN", healthy=False, votes=0), member("c"), member("d")],
        {"preferred": ("b:1",)},
        "c",
    ),
    ("a preferred primary", [A, B, member("c")], {"preferred": ("a:1",)}, "b"),
    ("excluded", [A, B, member("c")], {"exclude": ("b:1",)}, "c"),
    ("delayed", [A, member("b", delay_seconds=60, hidden=True, votes=0), member("c"), member("d")], {}, "c"),
    ("lagging", [A, member("b", hidden=True, votes=0, lag_seconds=31), member("c"), member("d")], {}, "c"),
    ("unknown lag", [A, member("b", hidden=True, lag_seconds=None), member("c"), member("d")], {}, "c"),
    ("in maintenance", [A, member("b", "RECOVERING", hidden=True, votes=0), member("c"), member("d")], {}, "c"),
    ("not reachable from here", [A, member("b", hidden=True, reachable=False), member("c")], {}, "c"),
    (
        "one that may be locked before a hidden one that may not",
        [A, member("b", hidden=True, priority=0), member("c", "DOWN", healthy=False), member("d", votes=0, priority=0)],
        {},
        "d",
    ),
]


@pytest.mark.parametrize(("members", "preference", "wanted"), [row[1:] for row in ORDER], ids=[row[0] for row in ORDER])
def test_the_best_secondary_is_locked(members: list[Member], preference: dict[str, Any], wanted: str) -> None:
    chosen = choose(*members, preference=MemberPreference(**preference))
    assert (chosen.host, chosen.mode) == (f"{wanted}:1", ReadMode.LOCK), chosen.reasons


UNSAFE = [
    ("two members", [A, B], {}, "w:majority writes need 2"),
    ("primary, secondary, arbiter", [A, B, member("c", "ARBITER")], {}, "w:majority writes need 2"),
    ("one of three is down", [A, B, member("c", "DOWN", healthy=False)], {}, "would have 1 healthy voting member"),
    ("the other is in maintenance", [A, B, member("c", "RECOVERING")], {}, "w:majority writes need 2"),
    ("the other lags", [A, B, member("c", lag_seconds=100)], {}, "w:majority writes need 2"),
    ("the other is delayed", [A, B, member("c", delay_seconds=3600, priority=0)], {}, "w:majority writes need 2"),
    (
        "a short oplog",
        [A, B, member("c")],
        {"facts": {"rs0": LockFacts(oplog_window_seconds=100, expected_lock_seconds=51)}},
        "reaches back 100 s, less than twice the 51 s",
    ),
]


@pytest.mark.parametrize(("members", "options", "reason"), [row[1:] for row in UNSAFE], ids=[row[0] for row in UNSAFE])
def test_what_must_not_be_locked_is_read_without_a_lock_or_refused(
    members: list[Member], options: dict[str, Any], reason: str
) -> None:
    chosen = choose(*members, **options)
    assert (chosen.host, chosen.mode) == ("b:1", ReadMode.WINDOW)
    assert reason in " ".join(chosen.reasons)
    with pytest.raises(PreconditionError, match="rs0 cannot be locked") as refused:
        choose(*members, **options, when_unsafe="fail")
    assert reason in refused.value.message
    with pytest.raises(PreconditionError, match="cannot be locked"):  # an older server can only be locked
        choose(*members, **options, cluster_time_supported=False)


@pytest.mark.parametrize(
    "members",
    [
        [A, B, member("c")],
        [A, B, member("c", "ARBITER"), member("d"), member("e")],
        [A, B, member("c", votes=0, priority=0, hidden=True)],
        [A, B, member("c"), member("d", "DOWN", healthy=False), member("e")],
    ],
)
def test_a_set_that_keeps_its_majority_is_locked(members: list[Member]) -> None:
    facts = {"rs0": LockFacts(oplog_window_seconds=100, expected_lock_seconds=50)}
    assert choose(*members, when_unsafe="fail", facts=facts).mode is ReadMode.LOCK


def test_snapshot_consistency_never_locks() -> None:
    chosen = choose(A, B, member("c"), consistency=Consistency.SNAPSHOT, when_unsafe="fail")
    assert (chosen.host, chosen.mode) == ("b:1", ReadMode.WINDOW)


def test_without_a_secondary_the_primary_is_read_and_never_locked() -> None:
    chosen = choose(A, member("b", "DOWN", healthy=False))
    assert (chosen.host, chosen.mode) == ("a:1", ReadMode.WINDOW)
    assert "the primary, because no secondary can be read" in chosen.reasons
    assert "b:1: it does not answer its set (DOWN)" in chosen.reasons
    with pytest.raises(PreconditionError, match="a primary is never locked"):
        choose(A, when_unsafe="fail")


@pytest.mark.parametrize(
    ("members", "preference"),
    [
        ([member("a", "DOWN", healthy=False), member("b", "RECOVERING")], {}),
        ([A, member("b", "ARBITER")], {"exclude": ("a:1",)}),
    ],
)
def test_a_set_that_nobody_can_be_read_of(members: list[Member], preference: dict[str, Any]) -> None:
    with pytest.raises(PreconditionError, match="rs0 has no member to read from"):
        choose(*members, preference=MemberPreference(**preference))


def test_a_standalone_is_read_as_it_is() -> None:
    component = Component(
        name="standalone", role=ComponentRole.STANDALONE, members=(Member(host="a:1", state="STANDALONE"),)
    )
    alone = Topology(kind=TopologyKind.STANDALONE, components=(component,), server_version="6.0.5")
    chosen = choose_members(alone, preference=MemberPreference(), consistency=Consistency.LOCKED, when_unsafe="fail")
    assert chosen[0].mode is ReadMode.PLAIN


def test_the_reasons_are_told() -> None:
    chosen = choose(
        A,
        B,
        member("c", hidden=True, priority=0, votes=0, lag_seconds=2, tags={"for": "backup"}),
        preference=MemberPreference(preferred=("c:1",), tags={"for": "backup"}),
    )
    assert chosen.reasons == (
        "preferred by the AppBinding",
        "has the tags for=backup",
        "hidden",
        "priority 0",
        "without a vote",
        "2 s behind the primary",
    )


def test_the_member_that_was_read_last_is_read_again() -> None:
    """Members keep documents in orders of their own: the same one again leaves little new to upload."""
    near, last = member("b"), member("c", lag_seconds=4)
    found = choose(A, near, last, last={"rs0": "c:1", "other": "b:1"})
    assert (found.host, found.reasons) == ("c:1", ("read last time too", "4 s behind the primary"))
    assert choose(A, near, last, last={"rs0": "gone:1"}).host == "b:1"
    assert choose(A, near, member("d", priority=0), last={"rs0": "b:1"}).host == "d:1", (
        "what is better for the set wins"
    )
