"""The page `docs/reliability.md`: what came of the matrix, case by case. Of addresses, ids and times only the kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sandbox.faults.case import Outcome

LONGEST_WORDS = 150

_HEAD = """\
# Reliability

What happens when something breaks in the middle of a backup or a restore. This page is written by `make faults`.
"""


def page(outcomes: Sequence[Outcome]) -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_table(outcomes)]) + "\n"


def _table(outcomes: Iterable[Outcome]) -> Iterable[str]:
    yield "| Step | Moment | Fault | End | Words |"
    yield "| --- | --- | --- | --- | --- |"
    for each in outcomes:
        case = each.case
        yield f"| {case.family}.{case.step} | {case.moment} | {case.fault} | {_end(each)} | {_words(each)} |"


def _end(outcome: Outcome) -> str:
    return "green" if outcome.words is None else "red"


def _words(outcome: Outcome) -> str:
    return (outcome.words or "")[:LONGEST_WORDS]
