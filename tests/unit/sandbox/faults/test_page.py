"""The page of results: counts, and nothing in it that differs from machine to machine."""

from __future__ import annotations

from sandbox.faults.case import Case, Outcome
from sandbox.faults.matrix import all_cases, choose
from sandbox.faults.page import page

KILLED = Case(family="backup", step="dump", moment="member", fault="member SIGKILL")
CUT = Case(family="restore", step="restore", moment="member", fault="member resets", lasting=True)


def test_it_counts_and_says_only_kinds() -> None:
    text = page(
        [
            Outcome(case=KILLED, tries=True, told="reading shop.x on 127.0.0.1:20001 failed after 12.5 s", seconds=12),
            Outcome(case=CUT, words="restore[shard0] failed", told="a | b of 20260101T000000Z-0123abcd", watchdog=True),
        ]
    )
    assert f"2 cases of {len(all_cases())} in the matrix. The judge found nothing wrong" in text
    assert "| `backup.dump` | 1 | 0 | 1 | 0 | 0 |" in text
    assert "| all | 2 | 0 | 1 | 1 | 1 |" in text
    assert "member SIGKILL | green, later try | 30 s | reading shop.x on (member) failed after (time) |" in text
    assert "member resets, to the end | red, watchdog | 30 s | a / b of (set) |" in text


def test_a_problem_is_not_hidden() -> None:
    text = page([Outcome(case=KILLED, problems=["127.0.0.1:20001 is locked"])])
    assert "**1 did not pass the judge.**" in text
    assert "**wrong**: (member) is locked" in text


def test_a_choice_is_the_same_for_the_same_seed_and_in_order() -> None:
    chosen = choose(count=10, seed=3)
    assert chosen == choose(count=10, seed=3)
    assert chosen != choose(count=10, seed=4)
    names = [case.name for case in all_cases()]
    assert [names.index(case.name) for case in chosen] == sorted(names.index(case.name) for case in chosen)
    assert all("backup.dump" in case.name for case in choose(only="backup.dump SIGKILL"))
