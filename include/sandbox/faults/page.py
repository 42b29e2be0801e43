"""The page `docs/reliability.md`: what came of the matrix, case by case.

It says nothing that differs from machine to machine or from day to day: of addresses, ids and times only the kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sandbox.faults.case import Outcome
from sandbox.faults.matrix import all_cases

LONGEST_WORDS = 170
_PART = "**This is a part of the matrix**: what is not in the tables below was not tried yet."
_FAMILIES = {"backup": "Backup", "restore": "Restore"}
_PLAIN: tuple[tuple[str, str], ...] = (
    (r"https?://\S+|s3:\S+", "(address)"),
    (r"(config|shard\d)/127\.0\.0\.1:\d+(,127\.0\.0\.1:\d+)*", r"\1"),
    (r"127\.0\.0\.1:\d+(,127\.0\.0\.1:\d+)+", "(members)"),
    (r"127\.0\.0\.1:\d+", "(member)"),
    (r"\d{8}T\d{6}Z-[0-9a-f]{8}", "(set)"),
    (r"\b[0-9a-f]{8,64}\b", "(id)"),
    (r"\b\d+(\.\d+)? ?(m?s)\b", r"(time)"),
    (r"\s+", " "),
    (r"\|", "/"),
)

_HEAD = Path(__file__).with_name("page_head.md")


def page(outcomes: Sequence[Outcome], *, earlier: int = 0) -> str:
    """The whole page.

    :param earlier: how many of the outcomes are those of earlier runs.
    """
    lines = [_HEAD.read_text("utf-8"), "## What came of it", "", _counts(outcomes, earlier), ""]
    lines += _summary(outcomes)
    for family, title in _FAMILIES.items():
        of_family = [each for each in outcomes if each.case.family == family]
        if of_family:
            lines += ["", f"## {title}", "", *_table(of_family)]
    return "\n".join(lines) + "\n"


def _counts(outcomes: Sequence[Outcome], earlier: int) -> str:
    left = sum(bool(each.problems) for each in outcomes)
    verdict = "The judge found nothing wrong in any of them." if not left else f"**{left} did not pass the judge.**"
    whole = len(all_cases())
    counted = f"{datetime.now(UTC):%Y-%m-%d}: {len(outcomes)} cases"
    before = f", {earlier} of them in earlier runs" if earlier else ""
    if len(outcomes) >= whole:
        return f"{counted}{before}. {verdict}"
    return f"{counted} of {whole} in the matrix{before}. {verdict} {_PART}"


def _summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| Step | Cases | Green at once | Green at a later try | Red | Of these cleaned by the watchdog |"
    yield "| --- | --- | --- | --- | --- | --- |"
    steps = list(dict.fromkeys((each.case.family, each.case.step) for each in outcomes))
    for family, step in steps:
        found = [each for each in outcomes if (each.case.family, each.case.step) == (family, step)]
        yield _row(f"`{family}.{step}`", found)
    yield _row("all", outcomes)


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    green = sum(each.words is None and not each.tries for each in outcomes)
    later = sum(each.words is None and each.tries for each in outcomes)
    red = sum(each.words is not None for each in outcomes)
    watchdog = sum(each.watchdog for each in outcomes)
    return f"| {name} | {len(outcomes)} | {green} | {later} | {red} | {watchdog} |"


def _table(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| Step | Moment | Fault | End | Within | What the step says |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for each in outcomes:
        case = each.case
        moment = case.when.words if case.when else "from its start"
        lasting = ", to the end" if case.lasting else ""
        cells = [f"`{case.step}`", moment, case.fault + lasting, _end(each), _within(each.seconds), _words(each)]
        yield f"| {' | '.join(cells)} |"


def _end(outcome: Outcome) -> str:
    if outcome.problems:
        return f"**wrong**: {_plain(outcome.problems[0])}"
    words = "red" if outcome.words is not None else "green, later try" if outcome.tries else "green"
    return f"{words}, watchdog" if outcome.watchdog else words


def _within(seconds: float) -> str:
    """From fault to end: rough, because machines differ."""
    return next((f"{limit} s" for limit in (30, 60, 120, 300) if seconds < limit), "longer")


def _words(outcome: Outcome) -> str:
    text = _plain(outcome.told or "")
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS].rstrip()} ..."


def _plain(text: str) -> str:
    for pattern, words in _PLAIN:
        text = re.sub(pattern, words, text)
    return text.strip()
