"""The catalog of a member: its namespaces with options, UUIDs and indexes, exactly as the server returns them.

`listCollections` and `listIndexes` cannot be read at a cluster time. So whoever reads data at one compares
`catalog_digest` before and after: equal digests mean that no collection was created, dropped, renamed or changed in
between, because a UUID never comes back.

Views come as entries of type `view`; `system.views`, which holds them, is never an entry of its own. A time series is
two entries: the name that users know (type `timeseries`), and `system.buckets.<name>` with the documents.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference
from pymongo.database import Database
from pymongo.errors import OperationFailure

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import PermanentError, TransientError
from mongo_backup.namespaces import Selection

RAW = CodecOptions(document_class=RawBSONDocument)
_EMPTY = bson.encode({})
_NAMESPACE_NOT_FOUND = 26

CollectionType = Literal["collection", "view", "timeseries"]


@dataclass(frozen=True, kw_only=True)
class CatalogEntry:
    """One namespace."""

    db: str
    collection: str
    type: CollectionType = "collection"
    uuid: str | None = None
    """Hexadecimal, 32 digits; views have none."""
    options: bytes = _EMPTY
    """Raw BSON of the options."""
    indexes: tuple[bytes, ...] = ()
    """Raw BSON of each index, the one on `_id` too; a view has none."""

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    @cached_property
    def capped(self) -> bool:
        """A capped collection: it cannot be read at a cluster time."""
        return bool(RawBSONDocument(self.options).get("capped"))

    @property
    def has_documents(self) -> bool:
        """It holds documents itself: a view and a time series do not."""
        return self.type == "collection"


def read_catalog(client: Client, *, selection: Selection, host: str) -> tuple[CatalogEntry, ...]:
    """Read the catalog of the member that `client` is connected to; a locked secondary answers too.

    :param host: its address, for messages.
    :returns: the selected entries, sorted by database and collection.
    :raises TransientError: a collection was dropped or renamed while it was read, or the member does not answer.
    """
    entries: list[CatalogEntry] = []
    with mongo_errors("reading the catalog", host):
        # Without authorizedDatabases: false, a user who may see nothing would get an empty list, not an error.
        listed = client.admin.command("listDatabases", nameOnly=True, authorizedDatabases=False)
        for name in sorted(database["name"] for database in listed["databases"]):
            if selection.accepts_db(name):
                database = client.get_database(name, read_preference=ReadPreference.SECONDARY_PREFERRED)
                entries += _entries(database, selection, host)
    return tuple(sorted(entries, key=lambda entry: (entry.db, entry.collection)))


def catalog_digest(entries: Iterable[CatalogEntry]) -> str:
    """SHA-256 over all that the entries say; the order of entries and of indexes does not matter."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: (entry.db, entry.collection)):
        fields = [entry.db.encode(), entry.collection.encode(), entry.type.encode(), (entry.uuid or "").encode()]
        for part in (*fields, entry.options, *sorted(entry.indexes)):
            digest.update(len(part).to_bytes(4, "little") + part)
        digest.update(b"\xff\xff\xff\xff")
    return digest.hexdigest()


def _entries(database: Database[dict[str, Any]], selection: Selection, host: str) -> Iterator[CatalogEntry]:
    for document in _listed(database, {"listCollections": 1}):
        name = document["name"]
        options = document.get("options")
        if not selection.accepts(database.name, name) or (options is not None and options.get("temp")):
            continue  # temporary: half a $out or mapReduce, which the server drops by itself
        uuid = document["info"].get("uuid")
        kind = cast(CollectionType, document.get("type", "collection"))
        yield CatalogEntry(
            db=database.name,
            collection=name,
            type=kind,
            uuid=bytes(uuid).hex() if uuid is not None else None,
            options=bytes(options.raw) if options is not None else _EMPTY,
            indexes=_indexes(database, name, host) if kind != "view" else (),
        )


def _indexes(database: Database[dict[str, Any]], collection: str, host: str) -> tuple[bytes, ...]:
    try:
        return tuple(bytes(document.raw) for document in _listed(database, {"listIndexes": collection}))
    except OperationFailure as error:
        if error.code != _NAMESPACE_NOT_FOUND:
            raise
        raise TransientError(
            f"{database.name}.{collection} on {host} was dropped or renamed while the catalog was read; try again"
        ) from error


def _listed(database: Database[dict[str, Any]], command: dict[str, Any]) -> Iterator[RawBSONDocument]:
    """Run a command that answers with a cursor; documents come raw."""
    cursor = database.cursor_command(command, read_preference=database.read_preference, codec_options=RAW)
    for document in cursor:
        if not isinstance(document, RawBSONDocument):
            raise PermanentError("the driver decoded a document that was asked for raw")
        yield document
