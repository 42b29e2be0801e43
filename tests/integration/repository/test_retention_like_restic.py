"""Our policy against `restic forget --dry-run`: the same snapshots, the same rules, the same answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.repository.conftest import PASSWORD

from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.objects.storage import LocalStore
from mongo_backup.processes import run
from mongo_backup.repository.restic import Repository
from mongo_backup.retention.policy import SetTime, plan_retention

pytestmark = pytest.mark.integration

NEWEST = datetime(2024, 3, 3, 1, 30, tzinfo=UTC)
AGES = (0, 0.2, 0.5, 0.9, 1.1, 3, 5, 23, 26, 47, 49, 70, 24 * 6, 24 * 8, 24 * 32, 24 * 63, 24 * 64, 24 * 370, 24 * 800)
"""Hours before the newest: over midnight, week, month, leap day and ISO year."""


@pytest.fixture(scope="module")
def repository(local_spec: LocalStore) -> Iterator[Repository]:
    with Repository(store=local_spec, credential=None, password=PASSWORD, name="forget", host="shop") as made:
        made.ensure()
        for age in AGES:
            time = (NEWEST - timedelta(hours=age)).strftime("%Y-%m-%d %H:%M:%S")
            done = restic(made, "backup", "--host", "shop", "--time", time, __file__)
            assert done[0] == 0, done
        yield made


def restic(repository: Repository, *arguments: str) -> tuple[int, str]:
    environment = {**repository._environment, "TZ": "UTC"}
    done = run(["restic", "--no-cache", *arguments], environment=environment, timeout=60)
    return done.status, done.stdout + done.stderr


@pytest.mark.parametrize(
    "spec",
    [
        {"last": 3},
        {"hourly": 5},
        {"daily": 4},
        {"weekly": 4},
        {"monthly": 3},
        {"yearly": 2},
        {"within": "2d"},
        {"last": 1, "hourly": 3, "daily": 3, "weekly": 2, "monthly": 2, "yearly": 3, "within": "4h"},
    ],
    ids=lambda spec: "-".join(spec) if len(spec) < 3 else "all",
)
def test_the_same_snapshots_stay(repository: Repository, spec: dict[str, int | str]) -> None:
    arguments = [part for rule, value in spec.items() for part in (f"--keep-{rule}", str(value))]
    status, output = restic(repository, "forget", "--no-lock", "--dry-run", "--json", "--group-by", "host", *arguments)
    assert status == 0, output
    theirs = {each["id"] for each in json.loads(output.splitlines()[0])[0]["keep"]}
    sets = [SetTime(set_id=each.id, time=each.time) for each in repository.snapshots()]
    plan = plan_retention(sets, RetentionSpec.model_validate(spec))
    ours = {each.set_id for each in plan.kept}
    assert ours == theirs
    assert len(ours) + len(plan.forgotten) == len(AGES)
