"""Cron schedules: five fields (https://man7.org/linux/man-pages/man5/crontab.5.html), or a word such as `@daily`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_WORDS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
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


Schedule = Annotated[str, AfterValidator(check_schedule)]
"""A cron schedule, such as `0 2 * * *`, or a word such as `@daily`."""
