"""Reads one collection by raw commands and puts its batches on their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bson
from pymongo import ReadPreference
from pymongo.client_session import ClientSession
from pymongo.errors import OperationFailure, PyMongoError

from mongo_backup.catalog import RAW, CatalogEntry
from mongo_backup.connection import Client, translate
from mongo_backup.engines.native.read_ahead import CancelledError, ReadAhead
from mongo_backup.engines.native.replies import Batch, read_batch
from mongo_backup.errors import MongoBackupError, PermanentError, TransientError
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.orphans import Bounds, read_concern

BATCH_BYTES = 4 * 1024 * 1024
"""Wanted size of a reply: large enough that round trips do not count, small enough for a bounded memory."""
FIRST_BATCH_DOCUMENTS = 1000
_FULL_REPLY_BYTES = 15 * 1024 * 1024
"""A larger reply may have been cut by the server: it holds fewer documents than were asked for."""

_SNAPSHOT_TOO_OLD = 239
_SNAPSHOT_UNAVAILABLE = 246
_GONE_WHILE_READ = {26, 43, 136, 175, 237}
"""NamespaceNotFound, CursorNotFound, CappedPositionLost, QueryPlanKilled, CursorKilled
(https://github.com/mongodb/mongo/blob/v6.0/src/mongo/base/error_codes.yml)."""

Session = ClientSession


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one collection is read."""

    entry: CatalogEntry
    cluster_time: ClusterTime | None
    bounds: tuple[Bounds, ...] | None = None
    """What the shard owns; None: all."""

    @property
    def scans(self) -> tuple[Bounds, ...]:
        """Index bounds of each scan."""
        return ({},) if self.bounds is None else self.bounds


def read_collection(
    client: Client, reading: Reading, *, session: Session, lane: int, ahead: ReadAhead, host: str
) -> None:
    """Put all batches of a collection into its lane.

    :raises CancelledError: nobody wants them any more.
    :raises MongoBackupError: the member failed; the message names it and the collection.
    """
    cursors = _Cursors(client, reading, session)
    try:
        for scan in reading.scans:
            batch = cursors.open(scan)
            while batch.cursor_id:
                if ahead.cancelled:
                    raise CancelledError
                ahead.put(lane, batch)
                batch = cursors.more(batch)
            ahead.put(lane, batch)
    except CancelledError:
        cursors.kill()
        raise
    except PyMongoError as error:
        raise reading_error(error, reading=reading, host=host) from error


class _Cursors:
    """The commands for one collection. Replies are asked for by number of documents, adapted to their size."""

    def __init__(self, client: Client, reading: Reading, session: Session) -> None:
        self._database = client.get_database(reading.entry.db)
        self._reading = reading
        self._session = session
        self._batch_size = FIRST_BATCH_DOCUMENTS
        self._open_cursor = 0

    def open(self, scan: Bounds) -> Batch:
        return self._run(
            {
                "find": self._reading.entry.collection,
                "batchSize": self._batch_size,
                "noCursorTimeout": True,
                **scan,
                **read_concern(self._reading.cluster_time),
            }
        )

    def more(self, batch: Batch) -> Batch:
        number = self._batch_size if batch.size < _FULL_REPLY_BYTES else sum(map(len, batch.groups()))
        self._batch_size = max(1, min(BATCH_BYTES // (batch.size // number + 1), 1_000_000))
        return self._run(
            {
                "getMore": bson.Int64(batch.cursor_id),
                "collection": self._reading.entry.collection,
                "batchSize": self._batch_size,
            }
        )

    def kill(self) -> None:
        """Close the open cursor, if the member still listens: it would stay until its session ends."""
        if self._open_cursor:
            command = {"killCursors": self._reading.entry.collection, "cursors": [bson.Int64(self._open_cursor)]}
            try:
                self._database.command(command, session=self._session)
            except PyMongoError:
                return

    def _run(self, command: dict[str, Any]) -> Batch:
        reply = self._database.command(
            command, codec_options=RAW, read_preference=ReadPreference.SECONDARY_PREFERRED, session=self._session
        )
        batch = read_batch(bytes(reply.raw))
        self._open_cursor = batch.cursor_id
        return batch


def reading_error(error: PyMongoError, *, reading: Reading, host: str) -> MongoBackupError:
    """Say what a driver's error means for a dump."""
    namespace, time = reading.entry.namespace, reading.cluster_time
    code = error.code if isinstance(error, OperationFailure) else None
    if time is not None and code in (_SNAPSHOT_TOO_OLD, _SNAPSHOT_UNAVAILABLE, *_GONE_WHILE_READ):
        return PermanentError(
            f"{namespace} on {host} cannot be read at cluster time {time}: its history is gone, or it was created, "
            "dropped, renamed or got another index since. Back up again while no collection is changed; if the dump "
            f"takes longer than minSnapshotHistoryWindowInSeconds, raise that or use consistency: locked ({error})"
        )
    if code in _GONE_WHILE_READ:
        return TransientError(
            f"{namespace} on {host} was dropped, renamed or overwritten while it was read; try again ({error})"
        )
    return translate(error, doing=f"reading {namespace}", host=host)
