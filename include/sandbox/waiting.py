"""Wait for a fact by asking for it again and again, with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mongo_backup.errors import TransientError

Found = TypeVar("Found")


def wait_until(
    probe: Callable[[], Found | None],
    *,
    what: str,
    timeout: float = 60.0,
    interval: float = 0.05,
    retry_on: tuple[type[Exception], ...] = (),
) -> Found:
    """Return the first true answer of `probe`.

    :param what: the fact waited for, for the error: "shard0 has a primary".
    :param timeout: seconds until `TransientError` is raised.
    :param interval: seconds between two questions.
    :param retry_on: exceptions of `probe` that mean "not yet"; the last one is named in the error.
    """
    deadline = time.monotonic() + timeout
    reason = ""
    while True:
        try:
            found = probe()
        except retry_on as error:
            found, reason = None, f" ({type(error).__name__}: {error})"
        if found:
            return found
        if time.monotonic() >= deadline:
            raise TransientError(f"waited {timeout:.0f} s in vain until {what}{reason}")
        time.sleep(interval)
