"""Lines about a dump that runs: `shard0: 12 of 40 collections, 1.2M documents, 830 MB, 95 MB/s`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0
_KEEP_ALIVE_SECONDS = 300.0

RUNNING: dict[str, Progress] = {}
"""Those that are entered now, by component: for a progress bar in the same process."""


class Progress:
    """Logs a line every few seconds while it is entered, and one at the end.

    :param keep_alive: called every five minutes besides, from the same thread.
    """

    def __init__(
        self,
        *,
        component: str,
        collections: int,
        keep_alive: Callable[[], None] = lambda: None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self.collections = 0
        self.documents = 0
        self.bytes = 0
        self._component = component
        self._total = collections
        self._keep_alive = keep_alive
        self._interval = interval_seconds
        self._began = time.monotonic()
        self._stop = Event()
        self._thread = Thread(target=self._run, name=f"progress-{component}", daemon=True)

    def __enter__(self) -> Self:
        RUNNING[self._component] = self
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        RUNNING.pop(self._component, None)
        self._thread.join()
        if error is None:
            logger.info("%s, %.1f s: all is written", self.line(), time.monotonic() - self._began)

    def add(self, *, documents: int, bytes: int) -> None:
        """Count what was written."""
        self.documents += documents
        self.bytes += bytes

    def line(self) -> str:
        """The state in words."""
        seconds = max(time.monotonic() - self._began, 0.001)
        return (
            f"{self._component}: {self.collections} of {self._total} collections, {_count(self.documents)} documents, "
            f"{self.bytes / 1e6:.0f} MB, {self.bytes / 1e6 / seconds:.0f} MB/s"
        )

    def _run(self) -> None:
        refreshed = time.monotonic()
        while not self._stop.wait(self._interval):
            logger.info("%s", self.line())
            if time.monotonic() - refreshed >= _KEEP_ALIVE_SECONDS:
                refreshed = time.monotonic()
                self._keep_alive()


def _count(number: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**4)):
        if number >= size:
            return f"{number / (size if unit != 'k' else 1000):.1f}{unit}"
    return str(number)
