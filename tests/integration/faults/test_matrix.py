"""A short part of the fault matrix (`make faults` runs all of it): each case ends before the same judge.

Which cases these are depends on the seed alone; another one is `MONGO_BACKUP_FAULTS_SEED`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sandbox.faults.case import Case, run_case
from sandbox.faults.matrix import all_cases, choose
from sandbox.faults.stage import Stage

pytestmark = pytest.mark.integration

SEED = int(os.environ.get("MONGO_BACKUP_FAULTS_SEED", "2"))
CASES = [
    *choose(only="backup.", count=2, seed=SEED, quick=True),
    *choose(only="backup.dump (find done): member SIGKILL", count=1, seed=SEED),
    *choose(only="restore.", count=2, seed=SEED, quick=True),
]


@pytest.fixture(scope="module")
def faults() -> Iterator[Stage]:
    with Stage(shards=1) as stage:
        stage.backup().run()
        yield stage


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_nothing_is_left(faults: Stage, case: Case) -> None:
    outcome = run_case(faults, case)
    assert outcome.problems == [], "\n".join([outcome.words or "green", *outcome.log[-30:]])


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in all_cases()]
    assert len(set(names)) == len(names)
    assert all(case.kind.name and (case.moment is None or case.when) for case in all_cases())
