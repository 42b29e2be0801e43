"""Reads a namespace raw, for its count and digest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
from pymongo.errors import PyMongoError

from mongo_backup.catalog import RAW
from mongo_backup.connection import Client, translate
from mongo_backup.digest import DocumentDigest
from mongo_backup.engines.native.replies import Batch, read_batch

BATCH_BYTES = 4 * 1024 * 1024
_FIRST_DOCUMENTS = 1000


def namespace_digest(client: Client, *, db: str, collection: str, host: str) -> DocumentDigest:
    """Read all documents of a collection from the member that the client leads to.

    :raises MongoBackupError: the server failed; the message names it and the collection.
    """
    digest = DocumentDigest()
    try:
        for batch in _batches(client, db, collection):
            for documents in batch.groups():
                digest.add(documents)
    except PyMongoError as error:
        raise translate(error, doing=f"reading {db}.{collection}", host=host) from error
    return digest


def _batches(client: Client, db: str, collection: str) -> Iterator[Batch]:
    with client.start_session(causal_consistency=False) as session:

        def run(command: dict[str, Any]) -> Batch:
            return read_batch(bytes(client[db].command(command, codec_options=RAW, session=session).raw))

        documents = _FIRST_DOCUMENTS
        batch = run({"find": collection, "batchSize": documents, "noCursorTimeout": True})
        while batch.cursor_id:
            yield batch
            documents = max(1, BATCH_BYTES * documents // max(batch.size, 1))
            following = {"getMore": bson.Int64(batch.cursor_id), "collection": collection, "batchSize": documents}
            batch = run(following)
        yield batch
