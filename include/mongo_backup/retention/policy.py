"""Which sets a policy keeps: a pure function.

The rules are those of `restic forget` (https://restic.readthedocs.io/en/stable/060_forget.html), counted over complete
sets in UTC: from the newest to the oldest, the first set of an hour, day, ISO week, month or year is kept until as many
are kept as the policy says; `within` counts back from the newest set, so it never empties a repository whose backups
stopped. On top of restic's rules the newest set, the newest verified set and every pinned set are always kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime

from mongo_backup.model import Model
from mongo_backup.objects.retention import RetentionSpec

PINNED = "pinned"
"""The mark of a set that no policy removes."""


class SetTime(Model):
    """One complete set."""

    set_id: str
    time: datetime
    marks: tuple[str, ...] = ()


class Kept(Model):
    """A set that stays."""

    set_id: str
    time: datetime
    reasons: tuple[str, ...]
    """In words, such as `daily 2 of 7`."""


class RetentionPlan(Model):
    """What a policy does to the sets; both newest first."""

    kept: tuple[Kept, ...] = ()
    forgotten: tuple[SetTime, ...] = ()


def plan_words(plan: RetentionPlan) -> list[str]:
    """The plan for people: a line for each set, newest first."""
    lines: list[tuple[SetTime | Kept, str]] = [
        *((each, f"keeps   {_shown(each)}: {', '.join(each.reasons)}") for each in plan.kept),
        *((each, f"forgets {_shown(each)}") for each in plan.forgotten),
    ]
    lines.sort(key=lambda line: (line[0].time, line[0].set_id), reverse=True)
    return [words for _, words in lines]


def _shown(one: SetTime | Kept) -> str:
    return f"{one.set_id} ({one.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC)"


def _hour(time: datetime) -> tuple[int, ...]:
    return time.year, time.month, time.day, time.hour


def _day(time: datetime) -> tuple[int, ...]:
    return time.year, time.month, time.day


def _week(time: datetime) -> tuple[int, ...]:
    year, week, _ = time.isocalendar()
    return year, week


def _month(time: datetime) -> tuple[int, ...]:
    return time.year, time.month


def _year(time: datetime) -> tuple[int, ...]:
    return (time.year,)


_BUCKETS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": _hour,
    "daily": _day,
    "weekly": _week,
    "monthly": _month,
    "yearly": _year,
}


def plan_retention(
    sets: Iterable[SetTime],
    policy: RetentionSpec | None,
    *,
    verified: Collection[str] = (),
    now: datetime | None = None,
) -> RetentionPlan:
    """Say which sets stay and why, and which go.

    :param sets: complete sets alone; a failed backup must never push a good one out.
    :param policy: None keeps everything.
    :param verified: ids of sets that were restored and compared; the newest of them stays.
    :param now: `within` counts from here at the latest: a set that was made while a clock was wrong, and lies in the
        future, must not make all others old. None: from the newest set.
    """
    newest_first = sorted(sets, key=lambda each: (each.time, each.set_id), reverse=True)
    reasons: dict[str, list[str]] = {each.set_id: [] for each in newest_first}
    if newest_first:
        reasons[newest_first[0].set_id].append("the newest")
    if checked := next((each.set_id for each in newest_first if each.set_id in verified), None):
        reasons[checked].append("the newest verified")
    for each in newest_first:
        if PINNED in each.marks:
            reasons[each.set_id].append(PINNED)
    if policy is None:
        for words in reasons.values():
            words.append("no policy")
    else:
        _apply(policy, newest_first, reasons, now)
    return RetentionPlan(
        kept=tuple(
            Kept(set_id=each.set_id, time=each.time, reasons=tuple(reasons[each.set_id]))
            for each in newest_first
            if reasons[each.set_id]
        ),
        forgotten=tuple(each for each in newest_first if not reasons[each.set_id]),
    )


def _apply(
    policy: RetentionSpec, newest_first: list[SetTime], reasons: dict[str, list[str]], now: datetime | None
) -> None:
    for number, each in enumerate(newest_first[: policy.last], start=1):
        reasons[each.set_id].append(f"last {number} of {policy.last}")
    for rule, bucket in _BUCKETS.items():
        _apply_bucket(rule, getattr(policy, rule), bucket, newest_first, reasons)
    if policy.within and newest_first:
        newest = newest_first[0].time
        border = (min(newest, now) if now else newest) - policy.within
        for each in newest_first:
            if each.time > border:
                reasons[each.set_id].append("within")
    for each in newest_first:
        reasons[each.set_id] += [f"marked {mark}" for mark in each.marks if mark in policy.marks and mark != PINNED]


def _apply_bucket(
    rule: str,
    limit: int,
    bucket: Callable[[datetime], tuple[int, ...]],
    newest_first: list[SetTime],
    reasons: dict[str, list[str]],
) -> None:
    count, last = 0, None
    for each in newest_first:
        if count == limit:
            return
        value = bucket(each.time.astimezone(UTC))
        if value != last:
            count, last = count + 1, value
            reasons[each.set_id].append(f"{rule} {count} of {limit}")
