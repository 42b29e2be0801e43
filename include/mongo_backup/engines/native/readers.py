"""The threads that read ahead, and the end of the reading."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from types import TracebackType
from typing import Self

from pymongo.errors import PyMongoError

from mongo_backup.engines.base import DumpJob
from mongo_backup.engines.native.read_ahead import ReadAhead
from mongo_backup.engines.native.reading import Reading, Session, read_collection
from mongo_backup.engines.native.replies import Batch

logger = logging.getLogger(__name__)


class Readers:
    """Reads collections in the order of `readings`, some side by side; `batches` hands them over one by one.

    :param then: called in a thread of its own when all is read; its error is `finish`'s.
    """

    def __init__(self, job: DumpJob, readings: Sequence[Reading], *, then: Callable[[], None]) -> None:
        self._job = job
        self._readings = readings
        self._then = then
        self._ahead = ReadAhead(lanes=len(readings), limit=job.read_ahead_bytes)
        self._pool = ThreadPoolExecutor(max_workers=job.threads + 1, thread_name_prefix=f"read-{job.component}")
        self._sessions: set[Session] = set()
        self._lock = Lock()
        self._reads: list[Future[None]] = []
        self._end: Future[None] | None = None

    def __enter__(self) -> Self:
        waiting = iter(enumerate(self._readings))
        self._reads = [self._pool.submit(self._work, waiting) for _ in range(self._job.threads)]
        self._end = self._pool.submit(self._complete)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.cancel()
        self._pool.shutdown()

    def batches(self, lane: int) -> Iterator[Batch]:
        """Yield the batches of one collection; collections must be asked for in order."""
        return self._ahead.batches(lane)

    def finish(self) -> None:
        """Wait until the end of the reading was told; raises what went wrong there."""
        if self._end is not None:
            self._end.result()

    def keep_alive(self) -> None:
        """Refresh the sessions: a collection that waits to be written would lose its cursor after 30 minutes."""
        with self._lock:
            ids = [session.session_id for session in self._sessions]
        if ids:
            try:
                self._job.client.admin.command({"refreshSessions": ids})
            except PyMongoError as error:
                logger.warning("%s: sessions could not be refreshed: %s", self._job.host, error)

    def _work(self, waiting: Iterator[tuple[int, Reading]]) -> None:
        while (task := self._take(waiting)) is not None:
            lane, reading = task
            try:
                self._read(lane, reading)
            except BaseException as error:
                self._ahead.close(lane, error)
                raise
            self._ahead.close(lane)

    def _take(self, waiting: Iterator[tuple[int, Reading]]) -> tuple[int, Reading] | None:
        with self._lock:
            return next(waiting, None)

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
        wait(self._reads)
        if all(read.exception() is None for read in self._reads) and not self._ahead.cancelled:
            self._then()
