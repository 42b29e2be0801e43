"""Writes raw documents by several threads, within a bounded memory. One document that fails is a failure of all."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Mapping
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from mongo_backup.connection import Client, translate
from mongo_backup.engines.progress import Progress
from mongo_backup.errors import MongoBackupError, PermanentError, TransientError
from mongo_backup.restore.concerns import MAJORITY_CONCERN
from mongo_backup.restore.timestamps import replacement, with_empty_timestamps

log = logging.getLogger(__name__)

BATCH_BYTES = 2 << 20
BATCH_DOCUMENTS = 5_000
BUDGET_BYTES = 24 << 20
"""Documents that are queued or on their way to the server; of a large one the driver makes up to three copies."""
_SHOWN = 3
_PAUSES_SECONDS = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Between the tries of an insert: an election takes some ten seconds."""
_PATIENCE_SECONDS = 5.0
"""After a failure or an interruption: an insert that waits for a majority may wait long."""
_DUPLICATE_KEY = 11000
_WRITE_CONCERN_TIMEOUT = 64

Batch = tuple[str, str, list[bytes]]


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

    def write(self, *, db: str, collection: str, documents: Iterable[bytes], in_order: bool = False) -> None:
        """Write documents, some time before `finish` returns.

        :param in_order: keep their order, as a capped collection must.
        :raises MongoBackupError: an earlier document could not be written; its namespace and reason are named.
        """
        batch: list[bytes] = []
        size = 0
        for document in documents:
            if batch and (size + len(document) > BATCH_BYTES or len(batch) >= BATCH_DOCUMENTS):
                self._hand_over(db, collection, batch, size, in_order)
                batch, size = [], 0
            batch.append(document)
            size += len(document)
        if batch:
            self._hand_over(db, collection, batch, size, in_order)

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

    def _hand_over(self, db: str, collection: str, batch: list[bytes], size: int, in_order: bool) -> None:
        self._raise_failure()
        if in_order:
            self._insert_patiently(db, collection, batch, ordered=True)
            return
        self._budget.take(size)
        self._queue.put((db, collection, batch))

    def _work(self) -> None:
        while self._work_once():
            pass

    def _work_once(self) -> bool:
        """Insert one batch; a function of its own, so that the batch is gone from memory while the next is awaited."""
        item = self._queue.get()
        if item is None:
            return False
        db, collection, batch = item
        size = sum(map(len, batch))
        try:
            if self._failure is None:
                self._insert_patiently(db, collection, batch, ordered=False)
        except MongoBackupError as error:
            self._failure = self._failure or error
        except Exception as error:  # noqa: BLE001 - a thread's exception would vanish, and with it documents
            self._failure = self._failure or PermanentError(f"writing {db}.{collection} failed: {error!r}")
        finally:
            self._budget.give(size)
        return True

    def _insert_patiently(self, db: str, collection: str, batch: list[bytes], *, ordered: bool) -> None:
        """Insert, over an election too: the driver's own second try comes at once, which may be too early."""
        for tries, pause in enumerate((*_PAUSES_SECONDS, None)):
            try:
                # a second try must not end at what the first one wrote; the server keeps the order all the same
                self._insert(db, collection, batch, ordered=ordered and not tries, again=tries > 0)
            except TransientError as error:
                if pause is None or self._given_up.is_set():
                    raise
                log.warning("%s; trying again in %.0f s", error, pause)
                self._given_up.wait(pause)
            else:
                return

    def _insert(self, db: str, collection: str, batch: list[bytes], *, ordered: bool, again: bool) -> None:
        target = self._client[db].get_collection(collection, write_concern=MAJORITY_CONCERN)
        try:
            target.insert_many(map(RawBSONDocument, batch), ordered=ordered, bypass_document_validation=True)
        except BulkWriteError as error:
            self._judge(error.details, target, batch, tolerate_same=again or self._tolerate_same)
        except PyMongoError as error:
            raise translate(error, doing=f"inserting into {db}.{collection}", host=self._host) from error
        if stamped := with_empty_timestamps(batch):
            self._write_again(target, stamped)
        with self._counting:
            self._progress.add(documents=len(batch), bytes=sum(map(len, batch)))

    def _write_again(self, target: Collection[dict[str, Any]], documents: list[bytes]) -> None:
        """Give documents with an empty timestamp their own bytes back: see `mongo_backup.restore.timestamps`."""
        for document in documents:
            command = {
                "update": target.name,
                "updates": [replacement(document)],
                "bypassDocumentValidation": True,
                "writeConcern": target.write_concern.document,
            }
            try:
                reply = target.database.command(command)
            except PyMongoError as error:
                raise translate(error, doing=f"writing into {target.full_name}", host=self._host) from error
            if reply.get("writeErrors") or reply["n"] != 1:
                raise PermanentError(
                    f"a document of {target.full_name} with an empty timestamp could not be written as it was:"
                    f" {reply.get('writeErrors') or 'it is not there'}"
                )

    def _judge(
        self,
        details: Mapping[str, Any],
        target: Collection[dict[str, Any]],
        batch: list[bytes],
        *,
        tolerate_same: bool,
    ) -> None:
        """Raise for documents that failed; in a merge, one that is there already as it should be has not."""
        errors = details.get("writeErrors", [])
        if tolerate_same:
            errors = [error for error in errors if not self._is_there(error, target, batch)]
        if errors:
            reasons = "; ".join(str(error["errmsg"])[:200] for error in errors[:_SHOWN])
            raise PermanentError(
                f"{len(errors)} of {len(batch)} documents of one batch for {target.full_name} were refused by"
                f" {self._host}: {reasons}"
            )
        if concern := details.get("writeConcernErrors"):
            waited = concern[0].get("code") == _WRITE_CONCERN_TIMEOUT
            raise (PermanentError if waited else TransientError)(
                f"documents of {target.full_name} reached no majority of {self._host}'s set: {concern[0].get('errmsg')}"
            )

    def _is_there(self, error: dict[str, Any], target: Collection[dict[str, Any]], batch: list[bytes]) -> bool:
        if error.get("code") != _DUPLICATE_KEY:
            return False
        wanted = RawBSONDocument(batch[error["index"]])
        raw = self._client.codec_options.with_options(document_class=RawBSONDocument)
        found = target.with_options(codec_options=raw).find_one({"_id": {"$eq": wanted["_id"]}})
        return found is not None and found.raw == wanted.raw
