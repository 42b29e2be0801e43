"""Retention over sets: examples, and properties that hold for any sets and any policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.retention.policy import PINNED, RetentionPlan, SetTime, plan_retention, plan_words

NOON = datetime(2024, 3, 3, 12, tzinfo=UTC)


def sets(*hours: float) -> list[SetTime]:
    return [SetTime(set_id=f"h{hour:g}", time=NOON - timedelta(hours=hour)) for hour in hours]


def kept(plan: RetentionPlan) -> dict[str, tuple[str, ...]]:
    return {each.set_id: each.reasons for each in plan.kept}


def policy(**rules: object) -> RetentionSpec:
    return RetentionSpec.model_validate(rules)


def test_the_newest_of_each_day_stays() -> None:
    plan = plan_retention(sets(0, 1, 13, 14, 37, 61), policy(daily=3))
    assert kept(plan) == {
        "h0": ("the newest", "daily 1 of 3"),
        "h13": ("daily 2 of 3",),
        "h37": ("daily 3 of 3",),
    }
    assert [each.set_id for each in plan.forgotten] == ["h1", "h14", "h61"]


def test_days_are_days_of_utc() -> None:
    zone = datetime(2024, 3, 3, 1, tzinfo=UTC).astimezone()
    early = SetTime(set_id="early", time=datetime.fromisoformat("2024-03-03T01:00:00+05:00"))  # 2 March in UTC
    late = SetTime(set_id="late", time=zone)
    assert len(plan_retention([early, late], policy(daily=9)).kept) == 2


def test_within_counts_from_the_newest_set() -> None:
    plan = plan_retention(sets(1000, 1001, 1003), policy(within="2h"))
    assert set(kept(plan)) == {"h1000", "h1001"}


def test_a_set_of_a_wrong_clock_does_not_make_the_others_old() -> None:
    ahead = -24 * 365 * 50  # hours: fifty years ahead
    plan = plan_retention(sets(ahead, 1, 2, 30), policy(within="1d"), now=NOON)
    assert set(kept(plan)) == {f"h{ahead:g}", "h1", "h2"}


def test_the_newest_verified_set_stays() -> None:
    plan = plan_retention(sets(0, 1, 2, 3), policy(last=1), verified={"h2", "h3", "unknown"})
    assert kept(plan) == {"h0": ("the newest", "last 1 of 1"), "h2": ("the newest verified",)}


def test_a_pinned_set_stays_whatever_the_policy_says() -> None:
    marked = [one.model_copy(update={"marks": ("pinned",)}) if one.set_id == "h2" else one for one in sets(0, 1, 2, 3)]
    assert kept(plan_retention(marked, policy(last=1)))["h2"] == ("pinned",)


def test_marks_count_where_a_policy_names_them() -> None:
    marked = [one.model_copy(update={"marks": ("audit",)}) if one.set_id == "h3" else one for one in sets(0, 1, 2, 3)]
    assert set(kept(plan_retention(marked, policy(last=1)))) == {"h0"}
    assert kept(plan_retention(marked, policy(last=1, marks=["audit", "law"])))["h3"] == ("marked audit",)
    assert set(kept(plan_retention(marked, policy(marks=["audit"])))) == {"h0", "h3"}


def test_the_plan_can_be_read() -> None:
    words = plan_words(plan_retention(sets(0, 1, 24), policy(daily=2)))
    assert words == [
        "keeps   h0 (2024-03-03 12:00:00 UTC): the newest, daily 1 of 2",
        "forgets h1 (2024-03-03 11:00:00 UTC)",
        "keeps   h24 (2024-03-02 12:00:00 UTC): daily 2 of 2",
    ]


def test_no_policy_keeps_everything() -> None:
    assert plan_retention(sets(0, 1, 2), None).forgotten == ()


def test_no_sets() -> None:
    assert plan_retention([], policy(last=1)) == RetentionPlan()


any_sets = st.lists(st.integers(min_value=0, max_value=3 * 365 * 24 * 60), max_size=40).map(
    lambda minutes: [SetTime(set_id=f"s{n}", time=NOON - timedelta(minutes=m)) for n, m in enumerate(minutes)]
)
any_policy = (
    st.fixed_dictionaries(
        {
            **{rule: st.integers(0, 5) for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly")},
            "within": st.none() | st.timedeltas(timedelta(hours=1), timedelta(days=400)),
        }
    )
    .filter(lambda rules: any(rules.values()))
    .map(RetentionSpec.model_validate)
)


@given(any_sets, any_policy, st.sets(st.integers(0, 39).map(lambda n: f"s{n}")))
def test_every_set_is_either_kept_or_forgotten_and_the_newest_never_goes(
    given_sets: list[SetTime], spec: RetentionSpec, verified: set[str]
) -> None:
    plan = plan_retention(given_sets, spec, verified=verified)
    stays, goes = [each.set_id for each in plan.kept], [each.set_id for each in plan.forgotten]
    assert sorted(stays + goes) == sorted(each.set_id for each in given_sets)
    assert all(each.reasons for each in plan.kept)
    if given_sets:
        assert max(given_sets, key=lambda each: (each.time, each.set_id)).set_id in stays
    if checked := [each for each in given_sets if each.set_id in verified]:
        assert max(checked, key=lambda each: (each.time, each.set_id)).set_id in stays
    if spec.within:
        newest = max((each.time for each in given_sets), default=NOON)
        assert all(each.time <= newest - spec.within for each in plan.forgotten)


@given(any_sets, any_policy)
def test_no_rule_keeps_more_than_it_says(given_sets: list[SetTime], spec: RetentionSpec) -> None:
    plan = plan_retention(given_sets, spec)
    for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        by_rule = [each for each in plan.kept if any(reason.startswith(f"{rule} ") for reason in each.reasons)]
        assert len(by_rule) == min(len(by_rule), getattr(spec, rule))
    if not spec.within:
        limit = sum(getattr(spec, rule) for rule in ("last", "hourly", "daily", "weekly", "monthly", "yearly"))
        assert len(plan.kept) <= limit + 1


@given(any_sets, any_policy)
def test_doing_it_twice_changes_nothing(given_sets: list[SetTime], spec: RetentionSpec) -> None:
    plan = plan_retention(given_sets, spec)
    again = plan_retention([SetTime(set_id=each.set_id, time=each.time) for each in plan.kept], spec)
    assert again.forgotten == ()


@given(any_sets, any_policy, st.integers(0, 39))
def test_order_does_not_matter(given_sets: list[SetTime], spec: RetentionSpec, shift: int) -> None:
    turned = given_sets[shift:] + given_sets[:shift]
    assert plan_retention(turned, spec) == plan_retention(given_sets, spec)


@pytest.mark.parametrize("extra", ["last", "hourly", "daily", "weekly", "monthly", "yearly"])
def test_a_wider_policy_keeps_no_less(extra: str) -> None:
    given_sets = sets(*(number * 7.3 for number in range(200)))
    narrow = plan_retention(given_sets, policy(daily=3))
    wide = plan_retention(given_sets, policy(**{"daily": 3, extra: 6}))
    assert set(kept(narrow)) <= set(kept(wide))


@given(any_sets, any_policy, st.sets(st.integers(0, 39)), st.sets(st.integers(0, 39)))
def test_pinned_and_marked_sets_stay_and_push_nothing_out(
    found: list[SetTime], rules: RetentionSpec, pinned: set[int], audited: set[int]
) -> None:
    def marks(number: int) -> tuple[str, ...]:
        return (*((PINNED,) if number in pinned else ()), *(("audit",) if number in audited else ()))

    marked = [one.model_copy(update={"marks": marks(int(one.set_id[1:]))}) for one in found]
    with_marks = rules.model_copy(update={"marks": ("audit",)})
    stays = set(kept(plan_retention(marked, with_marks)))
    asked = {one.set_id for one in marked if one.marks}
    assert stays == set(kept(plan_retention(found, rules))) | asked
