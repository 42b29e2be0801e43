"""Progress in plain words, every few seconds."""

from __future__ import annotations

import logging
import threading
import time

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 10.0


class Progress:
    """Counts documents and bytes from several threads and logs a line every `INTERVAL_SECONDS`.

    :param what: the line's beginning, such as "shard0: restored".
    :param expected_documents: for a percentage; 0 where unknown.
    """

    def __init__(self, what: str, *, expected_documents: int = 0) -> None:
        self._what = what
        self._expected = expected_documents
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._spoke = self._began
        self.documents = 0
        self.bytes = 0

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def add(self, *, documents: int, size: int, where: str) -> None:
        """Count what was done in the namespace `where`; say so if it is time."""
        with self._lock:
            self.documents += documents
            self.bytes += size
            if time.monotonic() - self._spoke < INTERVAL_SECONDS:
                return
            self._spoke = time.monotonic()
        log.info("%s %s, now at %s", self._what, self.words(), where)

    def words(self) -> str:
        """`1200 of 5000 documents (24 %), 3.1 MB, 1.5 MB/s`."""
        share = f" of {self._expected} documents ({self.documents / self._expected:.0%})" if self._expected else ""
        rate = self.bytes / 1e6 / max(self.seconds, 1e-3)
        return f"{self.documents}{share or ' documents'}, {self.bytes / 1e6:.1f} MB, {rate:.1f} MB/s"
