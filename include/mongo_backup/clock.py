"""This machine's clock: for people and for records. What must be exact is measured by the servers' clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The time of day here, in UTC."""
    return datetime.fromtimestamp(time.time(), UTC)
