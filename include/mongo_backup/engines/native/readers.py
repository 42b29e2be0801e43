"""The threads that read ahead, and the end of the reading."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from pymongo.errors import PyMongoError

from mongo_backup.engines.base import DumpJob
from mongo_backup.engines.native.read_ahead import ReadAhead
from mongo_backup.engines.native.reading import Reading, Session, read_collection
from mongo_backup.engines.native.replies import Batch

logger = logging.getLogger(__name__)

_LEAVE_SECONDS = 2.0
"""After a failure readers have this long to close their cursors. One that waits for a server that never answers is left
to the end of the process: its member hangs, the agent must not."""


class Readers:
    """Reads collections in the order of `readings`, some side by side; `batches` hands them over one by one.

    :param then: called in a thread of its own when all is read; its error is `finish`'s.
    """

    def __init__(self, job: DumpJob, readings: Sequence[Reading], *, then: Callable[[], None]) -> None:
        self._job = job
        self._then = then
        self._ahead = ReadAhead(lanes=len(readings), limit=job.read_ahead_bytes)
        self._sessions: set[Session] = set()
        self._lock = Lock()
        self._waiting = iter(enumerate(readings))
        self._error: BaseException | None = None
        name = f"read-{job.component}"
        self._reads = [Thread(target=self._work, name=name, daemon=True) for _ in range(job.threads)]
        self._end = Thread(target=self._complete, name=name, daemon=True)

    def __enter__(self) -> Self:
        for thread in (*self._reads, self._end):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.cancel()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for thread in (*self._reads, self._end):
            thread.join(max(0.0, deadline - time.monotonic()))

    def batches(self, lane: int) -> Iterator[Batch]:
        """Yield the batches of one collection; collections must be asked for in order."""
        return self._ahead.batches(lane)

    def finish(self) -> None:
        """Wait until the end of the reading was told; raises what went wrong there."""
        self._end.join()
        if self._error is not None:
            raise self._error

    def keep_alive(self) -> None:
        """Refresh the sessions: a collection that waits to be written would lose its cursor after 30 minutes."""
        with self._lock:
            ids = [session.session_id for session in self._sessions]
        if ids:
            try:
                self._job.client.admin.command({"refreshSessions": ids})
            except PyMongoError as error:
                logger.warning("%s: sessions could not be refreshed: %s", self._job.host, error)

    def _work(self) -> None:
        while (task := self._take()) is not None:
            lane, reading = task
            try:
                self._read(lane, reading)
            except BaseException as error:  # noqa: BLE001 - raised by the thread that writes
                self._fail(error)
                self._ahead.close(lane, error)
                return
            self._ahead.close(lane)

    def _take(self) -> tuple[int, Reading] | None:
        with self._lock:
            return None if self._error or self._ahead.cancelled else next(self._waiting, None)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

    def _read(self, lane: int, reading: Reading) -> None:
        # Without causal consistency: the driver would add afterClusterTime to a read at a cluster time.
        with self._job.client.start_session(causal_consistency=False) as session:
            with self._lock:
                self._sessions.add(session)
            try:
                read_collection(
                    self._job.client, reading, session=session, lane=lane, ahead=self._ahead, host=self._job.host
                )
            finally:
                with self._lock:
                    self._sessions.discard(session)

    def _complete(self) -> None:
        for thread in self._reads:
            thread.join()
        if self._error is None and not self._ahead.cancelled:
            try:
                self._then()
            except BaseException as error:  # noqa: BLE001 - raised by `finish`
                self._fail(error)
