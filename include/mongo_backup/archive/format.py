"""The archive format of mongodump (`--archive`), version 0.1.

Source: `common/archive` of the MongoDB Database Tools (https://github.com/mongodb/mongo-tools). All numbers are
little-endian::

    magic               6d e2 99 81
    header              BSON {concurrent_collections, version, server_version, tool_version}
    per collection      BSON {db, collection, metadata, size, type}
    terminator          ff ff ff ff
    blocks              BSON {db, collection, EOF: false, CRC: 0}, documents, terminator
    per namespace, last BSON {db, collection, EOF: true, CRC}, terminator

Blocks of several namespaces may alternate. CRC is CRC-64/XZ (Go calls it ECMA) over the namespace's documents, kept
in a signed number. Each collection of the prelude has its last header, views too. A time series is one entry in
the prelude, under its own name; its data stand under `system.buckets.<name>`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import bson
from bson.errors import BSONError

from mongo_backup.archive.metadata import Metadata, parse_metadata
from mongo_backup.namespaces import BUCKETS_PREFIX

MAGIC = b"\x6d\xe2\x99\x81"
TERMINATOR = b"\xff\xff\xff\xff"
VERSION = "0.1"

MIN_DOCUMENT = 5
"""Bytes of an empty BSON document."""
MAX_DOCUMENT = 16 * 1024 * 1024 + 16 * 1024
"""Bytes of the largest document that a server returns: 16 MiB and the room of `BSONObjMaxInternalSize`."""

INT32 = struct.Struct("<i")


@dataclass(frozen=True, kw_only=True)
class ArchiveHeader:
    """What wrote the archive, and from what server."""

    server_version: str
    tool_version: str
    concurrent_collections: int = 1
    version: str = VERSION

    def encode(self) -> bytes:
        """As BSON."""
        return bson.encode(
            {
                "concurrent_collections": self.concurrent_collections,
                "version": self.version,
                "server_version": self.server_version,
                "tool_version": self.tool_version,
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> ArchiveHeader:
        """From BSON.

        :raises ValueError: it is no header.
        """
        fields = _decode(raw)
        return cls(
            server_version=_text(fields, "server_version"),
            tool_version=_text(fields, "tool_version"),
            concurrent_collections=_number(fields, "concurrent_collections", 1),
            version=_text(fields, "version"),
        )


@dataclass(frozen=True, kw_only=True)
class PreludeEntry:
    """One collection that the archive announces."""

    db: str
    collection: str
    type: str = "collection"
    """`collection`, `view` or `timeseries`; an old archive may leave it empty."""
    metadata_text: str = ""
    """Canonical extended JSON, as in the archive."""
    size: int = 0

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    @property
    def data_collection(self) -> str:
        """The collection under which its blocks stand."""
        return BUCKETS_PREFIX + self.collection if self.type == "timeseries" else self.collection

    def metadata(self) -> Metadata:
        """Options, indexes and UUID.

        :raises ArchiveError: the text is no metadata.
        """
        return parse_metadata(self.metadata_text, namespace=self.namespace)

    def encode(self) -> bytes:
        """As BSON."""
        return bson.encode(
            {
                "db": self.db,
                "collection": self.collection,
                "metadata": self.metadata_text,
                "size": self.size,
                "type": self.type,
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> PreludeEntry:
        """From BSON.

        :raises ValueError: it is no entry of a prelude.
        """
        fields = _decode(raw)
        return cls(
            db=_text(fields, "db"),
            collection=_text(fields, "collection"),
            type=_text(fields, "type", ""),
            metadata_text=_text(fields, "metadata", ""),
            size=_number(fields, "size", 0),
        )


@dataclass(frozen=True, kw_only=True)
class BlockHeader:
    """What a block holds; or, with `eof`, that a namespace is complete."""

    db: str
    collection: str
    eof: bool = False
    crc: int = 0
    """Unsigned."""

    def encode(self) -> bytes:
        """As BSON."""
        signed = self.crc - (1 << 64) if self.crc >> 63 else self.crc
        return bson.encode({"db": self.db, "collection": self.collection, "EOF": self.eof, "CRC": bson.Int64(signed)})

    @classmethod
    def decode(cls, raw: bytes) -> BlockHeader:
        """From BSON.

        :raises ValueError: it is no header of a block.
        """
        fields = _decode(raw)
        eof, crc = fields.get("EOF"), fields.get("CRC")
        if not isinstance(eof, bool) or not isinstance(crc, int) or len(fields) != 4:
            raise ValueError("it holds not just db, collection, EOF and CRC")
        if crc and not eof:
            raise ValueError("it has a checksum before the namespace's end")
        return cls(db=_text(fields, "db"), collection=_text(fields, "collection"), eof=eof, crc=crc % (1 << 64))


def _decode(raw: bytes) -> dict[str, object]:
    try:
        return bson.decode(raw)
    except BSONError as error:
        raise ValueError(f"it is no BSON: {error}") from error


def _text(fields: dict[str, object], name: str, default: str | None = None) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"its field {name} is missing or no text")
    return value


def _number(fields: dict[str, object], name: str, default: int) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int):
        raise ValueError(f"its field {name} is no whole number")
    return value
