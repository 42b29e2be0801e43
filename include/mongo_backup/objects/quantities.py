"""Durations and sizes as people write them: `90s`, `15m`, `6h`, `2d`; `512KiB`, `64MiB`, `1GiB`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST = timedelta(days=3650)
"""More than anybody waits, and less than what overflows."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?")
_BYTES = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


def parse_duration(value: object) -> object:
    """Turn `1h30m` into a `timedelta`; hand on what is no text for pydantic to judge.

    :raises ValueError: text of another form, or a bare number (of what?).
    """
    if isinstance(value, timedelta):
        return value
    text = value.strip() if isinstance(value, str) else str(value)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text[:40]!r} is no duration: write a number and a unit, such as 90s, 15m, 6h or 1h30m")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > LONGEST.total_seconds():
        raise ValueError(f"{text[:40]!r} is too long: write at most {format_duration(LONGEST)}")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Write a `timedelta` the way that `parse_duration` reads it."""
    seconds = value.total_seconds()
    if seconds != int(seconds) or seconds == 0:
        return f"{round(seconds * 1000)}ms"
    rest, text = int(seconds), ""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(rest, int(_SECONDS[unit]))
        text += f"{count}{unit}" if count else ""
    return text


def parse_size(value: object) -> object:
    """Turn `64MiB` into bytes; a bare number is bytes.

    :raises ValueError: text of another form.
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no size: write a number and a unit, such as 512KiB, 64MiB or 1GiB")
    return int(float(match[1]) * _BYTES[match[2] or "B"])


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    PlainSerializer(format_duration, return_type=str),
    Field(ge=timedelta(0)),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+\s*$",
            "examples": ["90s", "15m", "1h30m"],
        }
    ),
]
"""A length of time, written like `6h`."""

Size = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | str), Field(ge=0)]
"""A number of bytes, written like `64MiB`."""
