"""Cron schedules: five fields (https://man7.org/linux/man-pages/man5/crontab.5.html), or a word such as `@daily`."""

from __future__ import annotations

import re
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator

_WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@quarterly": "0 0 1 */3 *",
    "@yearly": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_TEN_YEARS = tuple(date(2024, 1, 1) + timedelta(days=number) for number in range(3653))
_ITEM = re.compile(r"(\*|\w+(?:-\w+)?)(?:/([1-9]\d*))?")


def check_schedule(text: str) -> str:
    """Return the schedule if it is one.

    :raises ValueError: says which of the five fields is wrong.
    """
    if text in _WORDS:
        return text
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise ValueError(_advice(text, f"it has {len(fields)} fields, not 5"))
    for field, (name, lowest, highest, words) in zip(fields, _FIELDS, strict=True):
        for item in field.split(","):
            if not _fits(item, lowest, highest, words):
                raise ValueError(_advice(text, f"{item!r} is no {name} ({lowest} to {highest})"))
    if not _days(fields):
        raise ValueError(_advice(text, "no year has such a day"))
    return text


def _fits(item: str, lowest: int, highest: int, words: tuple[str, ...]) -> bool:
    match = _ITEM.fullmatch(item)
    if match is None:
        return False
    if match[1] == "*":
        return True
    values = [_number(part, lowest, words) for part in match[1].split("-")]
    return all(value is not None and lowest <= value <= highest for value in values)


def _number(part: str, lowest: int, words: tuple[str, ...]) -> int | None:
    if part.lower() in words:
        return words.index(part.lower()) + lowest
    return int(part) if part.isdigit() else None


def _advice(text: str, reason: str) -> str:
    return (
        f"{text!r} is no schedule: {reason}; write minute, hour, day of the month, month, day of the week, such as "
        f"'0 2 * * *' (every day at 02:00), or one of: {', '.join(_WORDS)}"
    )


def longest_interval(schedule: str) -> timedelta:
    """The longest time between two runs of a schedule, such as three days for `0 2 * * 1-5`, clock changes aside.

    A schedule that hardly ever runs (29 February) gets ten years where it runs but once in them.
    """
    fields = _WORDS.get(schedule, schedule).split()
    minute, hour = _read(fields)[:2]
    days = _days(fields)
    times = sorted(timedelta(hours=h, minutes=m) for h in hour for m in minute)
    within = (later - earlier for earlier, later in pairwise(times))
    between = [later - earlier + times[0] - times[-1] for earlier, later in pairwise(days)]
    return max(*within, *between) if between else timedelta(days=len(_TEN_YEARS))


def _read(fields: list[str]) -> tuple[set[int], ...]:
    """The values of each of the five fields."""
    return tuple(
        _values(field, lowest, highest, words)
        for field, (_, lowest, highest, words) in zip(fields, _FIELDS, strict=True)
    )


def _days(fields: list[str]) -> list[date]:
    """The days of ten years on which a schedule runs."""
    _, _, day, month, weekday = _read(fields)
    weekday = {each % 7 for each in weekday}
    return [each for each in _TEN_YEARS if each.month in month and _is_day(each, day, weekday)]


def time_of_day(schedule: str) -> timedelta | None:
    """The time of day of a schedule since midnight; None where it has several."""
    minutes, hours = (
        _values(field, lowest, highest, words)
        for field, (_, lowest, highest, words) in zip(_WORDS.get(schedule, schedule).split()[:2], _FIELDS, strict=False)
    )
    if len(minutes) != 1 or len(hours) != 1:
        return None
    return timedelta(hours=hours.pop(), minutes=minutes.pop())


def _is_day(day: date, days: set[int], weekdays: set[int]) -> bool:
    """Cron's rule: where both day of the month and day of the week are limited, either is enough."""
    by_month, by_week = day.day in days, day.isoweekday() % 7 in weekdays
    if len(days) < 31 and len(weekdays) < 7:
        return by_month or by_week
    return by_month and by_week


def _values(field: str, lowest: int, highest: int, words: tuple[str, ...]) -> set[int]:
    """All values of a field that `check_schedule` has let pass."""
    found: set[int] = set()
    for match in filter(None, map(_ITEM.fullmatch, field.split(","))):
        ends = [] if match[1] == "*" else [_number(part, lowest, words) or 0 for part in match[1].split("-")]
        first = ends[0] if ends else lowest
        last = ends[-1] if len(ends) == 2 or (ends and not match[2]) else highest
        step = int(match[2] or 1)
        found.update(range(first, last + 1, step))
        if last < first:  # `fri-mon` goes round
            found.update(range(first, highest + 1, step), range(lowest, last + 1, step))
    return found


Schedule = Annotated[str, AfterValidator(check_schedule)]
"""A cron schedule, such as `0 2 * * *`, or a word such as `@daily`."""
