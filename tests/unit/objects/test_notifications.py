"""Deadlines, and who is told."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mongo_backup.objects.configuration import Session
from mongo_backup.objects.notifications import Notification, deadline_after


@pytest.mark.parametrize(
    ("deadline", "schedule", "expected"),
    [
        ("06:00", "0 2 * * *", timedelta(hours=4)),
        ("6:30", "15 22 * * 1-5", timedelta(hours=8, minutes=15)),
        ("01:00", "@daily", timedelta(hours=1)),
        ("00:00", "@daily", timedelta(days=1)),
        ("45m", "@hourly", timedelta(minutes=45)),
        ("1h30m", "*/10 8-18 * * *", timedelta(minutes=90)),
    ],
)
def test_deadline(deadline: str, schedule: str, expected: timedelta) -> None:
    assert deadline_after(deadline, schedule) == expected
    assert Session.model_validate({"name": "s", "schedule": schedule, "deadline": deadline}).deadline == deadline


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({"deadline": "06:00"}, "needs a `schedule`"),
        ({"deadline": "06:00", "schedule": "@hourly"}, "write a duration after each of them"),
        ({"deadline": "25:00", "schedule": "@daily"}, "is no deadline"),
        ({"deadline": "0s", "schedule": "@daily"}, "is no deadline"),
        ({"deadline": "soon", "schedule": "@daily"}, "is no deadline"),
    ],
)
def test_no_deadline(session: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        Session.model_validate({"name": "s", **session})


def test_one_way_each() -> None:
    assert Notification.model_validate({"webhook": {"connection": "chat"}}).on == ("failure", "late")
    for wrong in ({}, {"webhook": {"connection": "a"}, "mail": {"to": ["a@b"]}}, {"mail": {"to": ["nobody"]}}):
        with pytest.raises(ValidationError):
            Notification.model_validate(wrong)
