"""Writes raw documents by several threads, within a bounded memory. One document that fails is a failure of all."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import replace

from mongo_backup.connection import Client
from mongo_backup.engines.progress import Progress
from mongo_backup.errors import MongoBackupError, PermanentError, TransientError
from mongo_backup.restore.insert import Batch, insert_batch

log = logging.getLogger(__name__)

BATCH_BYTES = 4 << 20
BATCH_DOCUMENTS = 5_000
BUDGET_BYTES = 24 << 20
"""Documents that are queued or on their way to the server; of a large one the driver makes up to three copies."""
_PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Between the tries of an insert: an election takes some ten seconds."""
_PATIENCE_SECONDS = 5.0
"""After a failure or an interruption: an insert that waits for a majority may wait long."""


class ByteBudget:
    """Lets in at most so many bytes at once; a single larger piece comes in alone."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until there is room for `size` bytes."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + size <= self._limit)
            self._used += size

    def give(self, size: int) -> None:
        """Give back what `take` took."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


class DocumentWriter:
    """Inserts raw documents into one server or replica set; use it as a context manager.

    :param client: follows the primary.
    :param host: for messages.
    :param progress: counts what was written.
    :param threads: inserts side by side.
    :param tolerate_same: a document that is there already with the very same bytes is no failure (`existing: merge`).
    """

    def __init__(
        self, *, client: Client, host: str, progress: Progress, threads: int = 4, tolerate_same: bool = False
    ) -> None:
        self._client = client
        self._host = host
        self._progress = progress
        self._counting = threading.Lock()
        self._given_up = threading.Event()
        self._tolerate_same = tolerate_same
        self._budget = ByteBudget(BUDGET_BYTES)
        self._queue: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._failure: MongoBackupError | None = None
        self._workers = [threading.Thread(target=self._work, name=f"insert-{n}", daemon=True) for n in range(threads)]

    def __enter__(self) -> DocumentWriter:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._given_up.set()
            self._failure = self._failure or PermanentError("given up")  # let the workers drop what is queued
        for _worker in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join(_PATIENCE_SECONDS if kind is not None else None)

    def write(self, batch: Batch, *, in_order: bool = False) -> None:
        """Write documents, some time before `finish` returns.

        :param in_order: keep the order of batches, as a capped collection must.
        :raises MongoBackupError: an earlier document could not be written; its namespace and reason are named.
        """
        for part in _parts(batch):
            self._raise_failure()
            if in_order:
                self._insert_patiently(part)
            else:
                self._budget.take(len(part.joined))
                self._queue.put(part)

    def finish(self) -> None:
        """Wait until everything is written.

        :raises MongoBackupError: a document could not be written.
        """
        for _worker in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join()
        self._workers.clear()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Insert one batch; a function of its own, so that the batch is gone from memory while the next is awaited."""
        batch = self._queue.get()
        if batch is None:
            return False
        try:
            if self._failure is None:
                self._insert_patiently(batch)
        except MongoBackupError as error:
            self._failure = self._failure or error
        except Exception as error:  # noqa: BLE001 - a thread's exception would vanish, and with it documents
            self._failure = self._failure or PermanentError(f"writing {batch.namespace} failed: {error!r}")
        finally:
            self._budget.give(len(batch.joined))
        return True

    def _insert_patiently(self, batch: Batch) -> None:
        """Insert, over an election too. What an earlier try wrote is known by its bytes."""
        for tries, pause in enumerate((*_PAUSES_SECONDS, None)):
            try:
                insert_batch(self._client, self._host, batch, again=tries > 0, tolerate_same=self._tolerate_same)
            except TransientError as error:
                if pause is None or self._given_up.is_set():
                    raise
                log.warning("%s; trying again in %.0f s", error, pause)
                self._given_up.wait(pause)
            else:
                break
        with self._counting:
            self._progress.add(documents=len(batch.documents), bytes=len(batch.joined))


def _parts(batch: Batch) -> Iterator[Batch]:
    """Cut what is too much for one command: a server takes 100 000 documents, and the driver what one may have."""
    if len(batch.documents) <= BATCH_DOCUMENTS and len(batch.joined) <= BATCH_BYTES:
        yield batch
        return
    part: list[bytes] = []
    size = 0
    for document in batch.documents:
        if part and (len(part) >= BATCH_DOCUMENTS or size + len(document) > BATCH_BYTES):
            yield replace(batch, documents=part, joined=b"".join(part))
            part, size = [], 0
        part.append(document)
        size += len(document)
    yield replace(batch, documents=part, joined=b"".join(part))
