"""Which sets are copied: examples, and what holds for any sets and any policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongo_backup.copies.plan import plan_copy
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.records import Snapshot

NOON = datetime(2024, 3, 3, 12, tzinfo=UTC)
SESSION = "nightly"


def a_set(set_id: str, hours: int, *more: str, where: str = "source", session: str = SESSION) -> list[Snapshot]:
    """Archive and manifest; `more` are further parts such as `mark=pinned`, `result=failed`."""
    time = NOON - timedelta(hours=hours)

    def part(kind: str, component: str, *tags: str) -> Snapshot:
        words = (f"set={set_id}", f"component={component}", f"part={kind}", f"session={session}", *tags)
        first = f"source {set_id} {component}"
        original = None if where == "source" else first
        return Snapshot(id=f"{where} {set_id} {component}", time=time, tags=words, tree=first, original=original)

    kinds = {"mark": "mark", "result": "verification"}
    parts = [part(kinds[each.partition("=")[0]], kinds[each.partition("=")[0]], each) for each in more]
    return [part("archive", "shard0"), part("manifest", "manifest"), *parts]


def listing(*sets: list[Snapshot]) -> list[Snapshot]:
    return [each for one in sets for each in one]


def copied(sets: Iterable[str], source: list[Snapshot]) -> list[Snapshot]:
    """These sets as they are in a copy."""
    hours = {str(each.tag("set")): round((NOON - each.time).total_seconds() / 3600) for each in source}
    return listing(*(a_set(each, hours[each], where="copy") for each in sets))


def test_the_newest_comes_first_and_what_is_there_stays() -> None:
    source = listing(a_set("a", 3), a_set("b", 2), a_set("c", 1), a_set("other", 0, session="hourly"))
    plan = plan_copy(source, copied(["b"], source), None, session=SESSION)
    assert [each.set_id for each in plan.wanted] == ["c", "a"]
    assert (plan.there, plan.broken, plan.forgotten) == (("b",), (), ())


def test_nothing_comes_only_to_be_forgotten_nor_comes_back() -> None:
    source = listing(a_set("a", 3), a_set("b", 2), a_set("c", 1))
    policy = RetentionSpec(last=1)
    plan = plan_copy(source, copied(["b"], source), policy, session=SESSION)
    assert [each.set_id for each in plan.wanted] == ["c"]
    assert (plan.passed_over, plan.forgotten) == (("a",), ("b",))


def test_what_the_source_forgot_counts_in_the_copy() -> None:
    source = listing(a_set("old", 50), a_set("new", 1))
    there = copied(["old"], source)
    plan = plan_copy(source[2:], there, RetentionSpec(last=2), session=SESSION)
    assert [each.set_id for each in plan.wanted] == ["new"]
    assert plan.forgotten == ()


def test_marks_belong_to_their_repository() -> None:
    source = listing(a_set("pinned", 3, "mark=pinned"), a_set("new", 1))
    assert plan_copy(source, [], RetentionSpec(last=1), session=SESSION).passed_over == ("pinned",)
    there = a_set("pinned", 3, "mark=pinned", where="copy")
    assert plan_copy(source, there, RetentionSpec(last=1), session=SESSION).forgotten == ()


def test_a_set_that_was_found_wrong_is_not_copied() -> None:
    source = listing(a_set("good", 3), a_set("wrong", 1, "result=failed"))
    plan = plan_copy(source, [], None, session=SESSION)
    assert ([each.set_id for each in plan.wanted], plan.failed) == (["good"], ("wrong",))


def test_a_set_that_lost_a_part_or_has_another_content_is_copied_again() -> None:
    source = a_set("one", 1)
    archive, manifest = a_set("one", 1, where="copy")
    other = archive.model_copy(update={"tree": "other"})
    anew = other.model_copy(update={"original": None, "tags": (*other.tags, f"original={source[0].id}")})
    for there, expected in (
        ([archive, manifest], ()),
        ([manifest], ("one",)),
        ([other, manifest], ("one",)),
        ([anew, manifest], ()),  # written anew: its bytes were compared then
    ):
        plan = plan_copy(source, there, None, session=SESSION)
        assert plan.broken == expected
        assert tuple(each.set_id for each in plan.wanted) == expected


@given(
    hours=st.lists(st.integers(0, 2000), unique=True, max_size=12),
    there=st.sets(st.integers(0, 11)),
    last=st.integers(0, 4),
    daily=st.integers(0, 4),
    monthly=st.integers(1, 3),
)
def test_a_second_run_finds_nothing_to_do(
    hours: list[int], there: set[int], last: int, daily: int, monthly: int
) -> None:
    names = [f"h{each}" for each in hours]
    source = listing(*(a_set(name, hour) for name, hour in zip(names, hours, strict=True)))
    policy = RetentionSpec(last=last, daily=daily, monthly=monthly)
    before = [name for index, name in enumerate(names) if index in there]
    first = plan_copy(source, copied(before, source), policy, session=SESSION)
    wanted = {each.set_id for each in first.wanted}
    assert wanted.isdisjoint(before)
    assert not hours or f"h{min(hours)}" in wanted | set(before), "the newest set is always copied"
    after = (set(before) | wanted) - set(first.forgotten)
    second = plan_copy(source, copied(sorted(after), source), policy, session=SESSION)
    assert (second.wanted, second.forgotten) == ((), ())


def test_thousands_of_sets_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = listing(*(a_set(f"{number:04}", number) for number in range(2000)))
    copy = copied([f"{number:04}" for number in range(2000)], source)
    asked, tag = [0], Snapshot.tag

    def counted(snapshot: Snapshot, name: str) -> str | None:
        asked[0] += 1
        return tag(snapshot, name)

    monkeypatch.setattr(Snapshot, "tag", counted)
    assert len(plan_copy(source, copy, None, session=SESSION).there) == 2000
    assert asked[0] < 20 * (len(source) + len(copy)), "not once more for each set"
