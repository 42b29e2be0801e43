"""Batches on their way from the threads that read to the one that writes, bounded in bytes.

Collections are written strictly in order, and read ahead side by side. The collection that is being written may always
put one batch when none of its own waits, so it never stands still for the sake of later ones; these share half of the
room. Readers take collections in order, so the one being written always has a reader or is read already: nothing can
wait for itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition

from mongo_backup.engines.native.replies import Batch


class CancelledError(Exception):
    """Nobody wants the rest: the writer has failed or ended."""


class _Lane:
    """The batches of one collection."""

    __slots__ = ("batches", "complete")

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.complete = False


class ReadAhead:
    """As many lanes as there are collections.

    :param limit: bytes that may wait, over all lanes; one batch more for the lane that is being written.
    """

    def __init__(self, *, lanes: int, limit: int) -> None:
        self._lanes = [_Lane() for _ in range(lanes)]
        self._limit = limit
        self._waiting = 0
        self._current = 0
        self._cancelled = False
        self._error: BaseException | None = None
        self._changed = Condition()

    def put(self, lane: int, batch: Batch) -> None:
        """Add a batch; waits while there is no room.

        :raises CancelledError: nobody wants it.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or self._has_room(lane, batch.size))
            if self._cancelled:
                raise CancelledError
            self._lanes[lane].batches.append(batch)
            self._waiting += batch.size
            self._changed.notify_all()

    def _has_room(self, lane: int, size: int) -> bool:
        if lane > self._current:
            return self._waiting + size <= self._limit // 2
        return not self._lanes[lane].batches or self._waiting + size <= self._limit

    def close(self, lane: int, error: BaseException | None = None) -> None:
        """Say that the lane's last batch was put, or why there will be no more."""
        with self._changed:
            self._lanes[lane].complete = True
            self._error = self._error or error
            self._changed.notify_all()

    def cancel(self) -> None:
        """Let all who wait in `put` go."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    @property
    def cancelled(self) -> bool:
        """Whether the rest is unwanted."""
        return self._cancelled

    def batches(self, lane: int) -> Iterator[Batch]:
        """Yield the lane's batches as they come. Lanes must be asked for in order.

        :raises BaseException: what a lane, this one or a later one, was closed with.
        """
        with self._changed:
            self._current = lane
            self._changed.notify_all()
        while (batch := self._next(self._lanes[lane])) is not None:
            yield batch

    def _next(self, lane: _Lane) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: lane.batches or lane.complete or self._error)
            if self._error is not None:
                raise self._error
            if not lane.batches:
                return None
            batch = lane.batches.popleft()
            self._waiting -= batch.size
            self._changed.notify_all()
            return batch
