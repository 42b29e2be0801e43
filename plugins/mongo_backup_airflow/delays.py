"""Waits between two tries, and what shortens them for demonstration and test."""

from __future__ import annotations

import os
from datetime import timedelta

from mongo_backup.errors import ConfigurationError

RETRY_VARIABLE = "MONGO_BACKUP_RETRY_SECONDS"
"""Seconds between two tries of any task, in place of what is configured and built in: for demonstration and test."""


def demonstration_delay() -> timedelta | None:
    """The fixed delay between tries that the environment asks for, if it does.

    :raises ConfigurationError: `MONGO_BACKUP_RETRY_SECONDS` is no number.
    """
    wanted = os.environ.get(RETRY_VARIABLE)
    try:
        return timedelta(seconds=float(wanted)) if wanted else None
    except ValueError:
        raise ConfigurationError(f"{RETRY_VARIABLE} is {wanted!r}: write a number of seconds") from None
