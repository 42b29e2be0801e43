"""Notifications: who is told of a run by Airflow itself, also when nothing of a run works any more."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mongo_backup.model import Model
from mongo_backup.objects.quantities import format_duration, parse_duration
from mongo_backup.objects.schedule import time_of_day

Event = Literal["failure", "success", "late"]

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def _check_deadline(text: str) -> str:
    if _CLOCK.fullmatch(text):
        return text
    try:
        duration = parse_duration(text)
    except ValueError:
        duration = None
    if not duration:
        raise ValueError(f"{text[:40]!r} is no deadline: write a time such as '06:00', or a duration such as 45m")
    return text


Deadline = Annotated[str, AfterValidator(_check_deadline)]
"""A time of day such as `06:00`, or a duration such as `45m`."""


class WebhookNotification(Model):
    """A JSON document is sent (`POST`) to the address of an Airflow Connection.

    The address is the Connection's host, with its schema and port if the host has none; a password alone is sent as a
    bearer token, with a login by basic authentication. The document has a `text`, as most chats want it, and the facts.
    """

    connection: str
    """The id of the Airflow Connection."""


class MailNotification(Model):
    """A mail, by Airflow's own SMTP notifier."""

    to: tuple[Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")], ...] = Field(min_length=1)
    """Addresses."""
    connection: str = "smtp_default"
    """The id of an Airflow Connection of type `smtp`; its extra `from_email` is the sender."""


class Notification(Model):
    """One way to be told: `webhook` or `mail`."""

    on: tuple[Event, ...] = Field(default=("failure", "late"), min_length=1)
    """`failure`: a run is red; `success`: it is green; `late`: a session's `deadline` has passed, no run was green."""
    webhook: WebhookNotification | None = None
    """To the address of an Airflow Connection."""
    mail: MailNotification | None = None
    """By mail."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.webhook is None) == (self.mail is None):
            raise ValueError("write either `webhook` or `mail`")
        return self


def deadline_after(deadline: str, schedule: str) -> timedelta:
    """How long after a scheduled time its deadline is.

    :raises ValueError: a time of day is meant, and the schedule has several.
    """
    match = _CLOCK.fullmatch(deadline)
    if match is None:
        found = parse_duration(deadline)
        if not isinstance(found, timedelta):
            raise ValueError(f"{deadline[:40]!r} is no duration")
        return found
    begin = time_of_day(schedule)
    if begin is None:
        raise ValueError(
            f"the deadline {deadline} is a time of day, and the schedule {schedule!r} has several: write a duration"
            f" after each of them, such as {format_duration(timedelta(minutes=45))}"
        )
    wait = timedelta(hours=int(match[1]), minutes=int(match[2])) - begin
    return wait if wait > timedelta() else wait + timedelta(days=1)
