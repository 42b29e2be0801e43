"""Which cases there are: every step of a backup and of a restore, and every kind of fault where it can strike."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from sandbox.faults.case import Case

Row = tuple[str, str | None, str]
"""A step, a moment of it, and faults, separated by commas; one that ends in `...` lasts to the run's end."""

_BACKUP: tuple[Row, ...] = (
    ("prepare", "member", "agent SIGKILL, member SIGKILL, step-down"),
    ("prepare", "store", "restic SIGKILL, store gone, store full, damaged index..."),
    ("prepare", None, "clock 5 min ahead..., clock 5 min behind..., clock 1 h ahead..., clock 1 h behind..."),
    ("disable_balancer", "member", "agent SIGTERM, primary SIGKILL, member cut off"),
    ("disable_balancer", "done", "agent SIGKILL, guard SIGKILL, step-down, member resets..."),
    ("identify_secondaries", "member", "agent SIGKILL, member hangs, step-down"),
    ("lock_config_server", "member", "agent SIGTERM, agent without time to undo"),
    ("lock_config_server", "done", "agent SIGKILL, member SIGKILL, member cut off"),
    ("lock_secondaries", "member", "agent without time to undo, primary SIGKILL"),
    (
        "lock_secondaries",
        "done",
        "agent SIGTERM, agent SIGKILL, agent hangs, guard SIGKILL, task SIGKILL, member SIGKILL, member hangs,"
        " step-down, member cut off...",
    ),
    (
        "dump",
        "member",
        "agent SIGTERM, agent SIGKILL, agent hangs, guard SIGKILL, task SIGKILL, restic SIGTERM, restic SIGKILL,"
        " restic hangs, restic's guard SIGKILL, member SIGTERM, member SIGKILL, member SIGKILL..., member hangs,"
        " primary SIGKILL, primary hangs, step-down, member cut off, member resets, member slow",
    ),
    ("dump", "data", "restic SIGKILL, store gone..., store silent, store slow, store says 500, store full..."),
    ("dump", "done", "agent SIGKILL, restic SIGKILL"),
    ("unlock_secondaries", "member", "agent SIGKILL, primary SIGKILL"),
    ("unlock_config_server", "member", "agent SIGTERM, member SIGKILL, member hangs..."),
    ("unlock_config_server", "done", "agent SIGKILL"),
    ("enable_balancer", "member", "agent SIGKILL, primary SIGKILL, member cut off..."),
    ("enable_balancer", "done", "agent SIGKILL, step-down"),
    ("commit_snapshot", "store", "agent SIGTERM, restic SIGKILL, store gone..., store says 503"),
    ("commit_snapshot", "done", "agent SIGKILL, store full"),
    ("apply_retention", "store", "agent SIGKILL, store gone..."),
    ("apply_retention", "done", "agent SIGTERM, restic SIGKILL"),
    ("push_metrics", "gateway", "agent SIGKILL, gateway gone..., gateway silent..."),
    ("finish", "member", "agent SIGKILL, primary SIGKILL, member cut off"),
)

_RESTORE: tuple[Row, ...] = (
    ("plan_restore", "member", "agent SIGKILL, member SIGKILL"),
    ("plan_restore", None, "clock 5 min ahead..., clock 5 min behind..."),
    ("plan_restore", "store", "restic SIGKILL, store gone, damaged packs..., damaged snapshots..."),
    ("disable_balancer", "member", "primary SIGKILL"),
    ("disable_balancer", "done", "agent SIGKILL"),
    ("drop_existing", "member", "agent SIGTERM, member cut off"),
    ("drop_existing", "done", "agent SIGKILL, primary SIGKILL"),
    (
        "restore",
        "member",
        "agent SIGTERM, agent SIGKILL, agent hangs, task SIGKILL, member SIGKILL, member hangs,"
        " step-down, member resets",
    ),
    ("restore", "done", "agent SIGKILL"),
    ("restore", "store", "store gone, store says 503, damaged packs..., restic SIGKILL"),
    ("restore_metadata", "member", "agent SIGTERM, primary SIGKILL"),
    ("restore_metadata", "done", "agent SIGKILL"),
    ("build_indexes", "member", "agent SIGKILL, member SIGKILL"),
    ("build_indexes", "done", "step-down"),
    ("verify_restore", "member", "agent SIGKILL, member SIGKILL, member cut off"),
    ("enable_balancer", "member", "primary SIGKILL"),
    ("enable_balancer", "done", "agent SIGKILL, member cut off..."),
    ("push_metrics", "gateway", "gateway gone..."),
    ("finish", "member", "agent SIGKILL"),
)


def _cases(family: str, rows: Sequence[Row]) -> Iterator[Case]:
    number = 0
    for step, moment, faults in rows:
        for each in faults.split(","):
            number += 1
            yield Case(
                family=family,
                step=step,
                moment=moment,
                fault=each.strip().removesuffix("..."),
                lasting=each.endswith("..."),
                balancer="off" if number % 5 == 0 and step != "enable_balancer" else "full",
            )


def all_cases() -> list[Case]:
    """The whole matrix."""
    return [*_cases("backup", _BACKUP), *_cases("restore", _RESTORE)]


def is_quick(case: Case) -> bool:
    """Whether nothing in it has to wait for a time limit, and the servers go on."""
    slow = ("hangs", "silent", "cut off", "slow", "full", "gone", "says", "member", "primary", "damaged")
    return not case.lasting and not any(word in case.fault for word in slow)


def choose(*, only: str = "", count: int | None = None, seed: int = 0, quick: bool = False) -> list[Case]:
    """Some of the cases, in the matrix's order.

    :param only: words of which each must be in a case's name.
    :param count: so many at random; None: all.
    :param seed: of the choice.
    :param quick: only such as take seconds.
    """
    found = [case for case in all_cases() if all(word in case.name for word in only.split())]
    found = [case for case in found if is_quick(case)] if quick else found
    if count is not None and count < len(found):
        chosen = random.Random(seed).sample(range(len(found)), count)
        found = [found[number] for number in sorted(chosen)]
    return found
