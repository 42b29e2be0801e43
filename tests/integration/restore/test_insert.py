"""One batch into a real server: exact, in its order, and known again when a try has to be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from mongo_backup.engines.progress import Progress
from mongo_backup.errors import PermanentError, TransientError
from mongo_backup.restore.documents import BATCH_DOCUMENTS, DocumentWriter
from mongo_backup.restore.insert import Batch, insert_batch
from sandbox.replica_set import ReplicaSet

RAW = CodecOptions(document_class=RawBSONDocument)
EMPTY = Timestamp(0, 0)


def batch_of(collection: str, documents: Sequence[dict[str, Any]]) -> Batch:
    raw = [bson.encode(document) for document in documents]
    return Batch("inserts", collection, raw, b"".join(raw))


def insert(deployment: ReplicaSet, batch: Batch, *, again: bool = False, tolerate_same: bool = False) -> None:
    client = deployment.client(user="restore")
    insert_batch(client, deployment.hosts()[0], batch, again=again, tolerate_same=tolerate_same)


def found(deployment: ReplicaSet, collection: str) -> list[bytes]:
    return [
        bytes(each.raw) for each in deployment.client().inserts.get_collection(collection, codec_options=RAW).find()
    ]


def write(deployment: ReplicaSet, batch: Batch) -> int:
    """Write it as a restore does, one insert at a time; return how many documents were counted."""
    client = deployment.client(user="restore")
    with (
        Progress(component="rs0", collections=1) as progress,
        DocumentWriter(client=client, host="rs0", progress=progress, threads=1) as writer,
    ):
        writer.write(batch)
        writer.finish()
    return progress.documents


@contextmanager
def failing(deployment: ReplicaSet, **data: Any) -> Iterator[None]:
    """Let the server fail the next insert."""
    admin = deployment.client().admin
    point = {"configureFailPoint": "failCommand", "data": {"failCommands": ["insert"], **data}}
    admin.command({**point, "mode": {"times": 1}})
    yield
    admin.command({**point, "mode": "off"})


def test_what_a_writer_is_given_comes_to_the_server_byte_by_byte(empty_set: ReplicaSet) -> None:
    batch = batch_of("many", [{"_id": n, "last": bson.Int64(n)} for n in range(2 * BATCH_DOCUMENTS + 1)])
    assert write(empty_set, batch) == len(batch.documents)
    assert found(empty_set, "many") == batch.documents


def test_a_document_as_large_as_a_server_takes_is_written(empty_set: ReplicaSet) -> None:
    batch = batch_of("large", [{"_id": 1, "fill": b"\x11" * (16 * 1024 * 1024 - 32)}])
    insert(empty_set, batch)
    assert found(empty_set, "large") == batch.documents


def test_large_documents_that_come_together_are_sent_apart(empty_set: ReplicaSet) -> None:
    sizes = (100, 16 * 1024 * 1024 - 64, 3_000_000, 2_000_000, 100)
    batch = batch_of("mixed", [{"_id": n, "fill": bytes(size)} for n, size in enumerate(sizes)])
    write(empty_set, batch)
    assert found(empty_set, "mixed") == batch.documents


def test_another_number_of_documents_than_announced_is_an_error(empty_set: ReplicaSet) -> None:
    whole = batch_of("count", [{"_id": n} for n in range(3)])
    short = Batch(whole.db, whole.collection, whole.documents, b"".join(whole.documents[:2]))
    with pytest.raises(PermanentError, match=r"inserted 2 and refused 0 documents of a batch of 3 for inserts\.count"):
        insert(empty_set, short)


def test_what_an_earlier_try_wrote_is_no_error_of_the_next(empty_set: ReplicaSet) -> None:
    documents = [{"_id": n, "at": EMPTY if n == 2 else Timestamp(n, 1)} for n in range(4)]
    batch = batch_of("again", documents)
    with failing(empty_set, writeConcernError={"code": 91, "errmsg": "on its way down"}):
        with pytest.raises(TransientError, match=r"inserts\.again reached no majority.*on its way down"):
            insert(empty_set, batch)
        assert found(empty_set, "again") != batch.documents, "the server gave the empty timestamp the time of day"
        insert(empty_set, batch, again=True)
    assert found(empty_set, "again") == batch.documents


def test_an_insert_that_is_cut_off_is_worth_another_try(empty_set: ReplicaSet) -> None:
    batch = batch_of("cut", [{"_id": 1}])
    with failing(empty_set, closeConnection=True), pytest.raises(TransientError, match=r"inserting into inserts\.cut"):
        insert(empty_set, batch)
    insert(empty_set, batch, again=True)
    assert found(empty_set, "cut") == batch.documents


def test_only_the_very_same_document_is_taken_for_there(empty_set: ReplicaSet) -> None:
    empty_set.client().inserts.same.insert_many([{"_id": 1, "n": 1}, {"_id": 2, "n": 1.0}, {"_id": 3.0, "n": 1}])
    insert(empty_set, batch_of("same", [{"_id": 1, "n": 1}, {"_id": 4}]), tolerate_same=True)
    for other in ({"_id": 2, "n": 1}, {"_id": 3, "n": 1}):
        with pytest.raises(PermanentError, match=r"1 of 2 documents of one batch for inserts\.same.*E11000"):
            insert(empty_set, batch_of("same", [other, {"_id": 1, "n": 1}]), tolerate_same=True)
    with pytest.raises(PermanentError, match="E11000"):
        insert(empty_set, batch_of("same", [{"_id": 1, "n": 1}]))
