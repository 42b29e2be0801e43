"""The longest time between two runs, against the cron that Airflow uses."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice, pairwise

import pytest
from croniter import CroniterBadDateError, croniter

from mongo_backup.objects.schedule import check_schedule, longest_interval

SCHEDULES = ["0 2 * * *", "*/15 8-18 * * mon-fri", "0 0 31 * *", "5 4 10 * 1", "5 4 */2 * 1", "10 3/6 * * *"]
SCHEDULES += ["@weekly", "@monthly", "0 22 * * fri-mon", "0 2 1,15 jan,jul *", "0 22 * * 7"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_longest_interval(schedule: str) -> None:
    runs = croniter(schedule, datetime(2024, 1, 1)).all_next(datetime)
    assert longest_interval(schedule) == max(b - a for a, b in pairwise(islice(runs, 2000)))


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "0 2 30 feb *", "5 4 31 2,4,6,9,11 *"])
def test_a_schedule_that_never_runs(schedule: str) -> None:
    """Airflow takes it, and fails whenever it looks for the next run."""
    with pytest.raises(CroniterBadDateError):
        croniter(schedule, datetime(2024, 1, 1)).get_next()
    with pytest.raises(ValueError, match="no year has such a day"):
        check_schedule(schedule)
    assert longest_interval(schedule) > timedelta(days=3000)


def test_a_day_that_not_every_year_has() -> None:
    assert check_schedule("0 2 29 2 *")
    assert check_schedule("0 2 31 2 mon"), "where both are limited, either is enough"
