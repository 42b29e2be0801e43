"""Inserts one batch of raw documents, and judges the server's answer: what was not written is an error.

The driver's `insert_many` looks at each document by itself, which costs more time than all the rest of a restore. Here
the documents go to the driver in one piece, as they stand in the archive: the server takes a batch as a document
sequence (https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/#kind-1--document-sequence), which is
nothing but documents one behind the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from mongo_backup.catalog import RAW
from mongo_backup.connection import Client, mongo_errors, translate
from mongo_backup.errors import PermanentError, TransientError
from mongo_backup.restore.concerns import MAJORITY
from mongo_backup.restore.timestamps import holds_empty_timestamp, replacement, with_empty_timestamps

_SHOWN = 3
_DUPLICATE_KEY = 11000
_WRITE_CONCERN_TIMEOUT = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents of one collection, by themselves and in one piece."""

    db: str
    collection: str
    documents: Sequence[bytes]
    joined: bytes

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


class _DocumentSequence(RawBSONDocument):
    """What the driver takes for one document and sends as it is: all of a batch.

    If a driver ever sent it in another way, the server would count other documents than the batch has, which is an
    error (`_check_count`).
    """

    __slots__ = ("_joined",)

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch.documents[0])
        self._joined = batch.joined

    @property
    def raw(self) -> bytes:
        """All documents."""
        return self._joined


def insert_batch(client: Client, host: str, batch: Batch, *, again: bool, tolerate_same: bool) -> None:
    """Insert a batch so that a majority has it, in its order.

    :param host: for messages.
    :param again: an earlier try may have written some of it.
    :param tolerate_same: a document that is there already with the very same bytes is no failure (`existing: merge`).
    :raises TransientError: the server did not answer, or is primary no longer: some of it may be written.
    :raises PermanentError: a document was refused.
    """
    command = {
        "insert": batch.collection,
        # One after the other all the same; it only means that an error does not keep the rest from being tried.
        "ordered": False,
        "bypassDocumentValidation": True,
        "writeConcern": MAJORITY,
        "documents": [_DocumentSequence(batch)],
    }
    try:
        reply = client[batch.db].command(command)
    except PyMongoError as error:
        raise translate(error, doing=f"inserting into {batch.namespace}", host=host) from error
    errors = reply.get("writeErrors", [])
    _check_count(batch, host, inserted=reply["n"], refused=len(errors))
    if again or tolerate_same:
        errors = _not_there(client, host, batch, errors, again=again)
    _refuse(errors, batch, host)
    _check_majority(batch, host, reply)
    if stamped := with_empty_timestamps(batch.documents, joined=batch.joined):
        _write_again(client[batch.db][batch.collection], stamped, host)


def _check_count(batch: Batch, host: str, *, inserted: int, refused: int) -> None:
    if inserted + refused != len(batch.documents):
        raise PermanentError(
            f"{host} says that it inserted {inserted} and refused {refused} documents of a batch of"
            f" {len(batch.documents)} for {batch.namespace}"
        )


def _refuse(errors: Sequence[Mapping[str, Any]], batch: Batch, host: str) -> None:
    if errors:
        reasons = "; ".join(str(error["errmsg"])[:200] for error in errors[:_SHOWN])
        raise PermanentError(
            f"{len(errors)} of {len(batch.documents)} documents of one batch for {batch.namespace} were refused by"
            f" {host}: {reasons}"
        )


def _check_majority(batch: Batch, host: str, reply: Mapping[str, Any]) -> None:
    if concern := reply.get("writeConcernError"):
        waited = concern.get("code") == _WRITE_CONCERN_TIMEOUT
        raise (PermanentError if waited else TransientError)(
            f"documents of {batch.namespace} reached no majority of {host}'s set: {concern.get('errmsg')}"
        )


def _not_there(
    client: Client, host: str, batch: Batch, errors: Sequence[Mapping[str, Any]], *, again: bool
) -> list[Mapping[str, Any]]:
    """Leave out the errors of documents that are there already as they should be."""
    doubled = {error["index"]: batch.documents[error["index"]] for error in errors if error["code"] == _DUPLICATE_KEY}
    if not doubled:
        return list(errors)
    ids = [RawBSONDocument(document)["_id"] for document in doubled.values()]
    collection = client[batch.db][batch.collection].with_options(codec_options=RAW)
    with mongo_errors(f"reading {batch.namespace}", host):
        found = {_id(raw): raw for raw in (bytes(each.raw) for each in collection.find({"_id": {"$in": ids}}))}

    def there(index: int) -> bool:
        if index not in doubled:
            return False
        document = doubled[index]
        raw = found.get(_id(document))
        # An earlier try's empty timestamp has the time of that try until `_write_again`.
        return raw == document or (again and raw is not None and holds_empty_timestamp(document))

    return [error for error in errors if not there(error["index"])]


def _id(document: bytes) -> bytes:
    return bson.encode({"_id": RawBSONDocument(document)["_id"]})


def _write_again(target: Collection[dict[str, Any]], documents: Sequence[bytes], host: str) -> None:
    """Give documents with an empty timestamp their own bytes back: see `mongo_backup.restore.timestamps`."""
    for document in documents:
        command = {
            "update": target.name,
            "updates": [replacement(document)],
            "bypassDocumentValidation": True,
            "writeConcern": MAJORITY,
        }
        try:
            reply = target.database.command(command)
        except PyMongoError as error:
            raise translate(error, doing=f"writing into {target.full_name}", host=host) from error
        if reply.get("writeErrors") or reply["n"] != 1:
            raise PermanentError(
                f"a document of {target.full_name} with an empty timestamp could not be written as it was:"
                f" {reply.get('writeErrors') or 'it is not there'}"
            )
