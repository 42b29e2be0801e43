from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import bson
import pytest

from mongo_backup.archive.format import ArchiveHeader, PreludeEntry
from mongo_backup.archive.metadata import format_metadata
from mongo_backup.archive.writer import ArchiveWriter

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "mongodump-100.18"
"""Beside the checkout. Without it these tests fail: the format is proved by a real archive."""


@pytest.fixture(scope="session")
def real_archive() -> bytes:
    """What mongodump 100.18 wrote."""
    return gzip.decompress((FIXTURES / "mixed.archive.gz").read_bytes())


@pytest.fixture(scope="session")
def truth() -> dict[str, dict[str, Any]]:
    """What is in it."""
    found: dict[str, dict[str, Any]] = json.loads((FIXTURES / "mixed.truth.json").read_text("utf-8"))
    return found


@pytest.fixture(scope="session")
def small_documents() -> dict[tuple[str, str], list[bytes]]:
    return {
        ("crm", "empty"): [],
        ("shop", "orders"): [bson.encode({"_id": number, "text": "x" * number}) for number in range(12)],
        ("shop", "system.buckets.series"): [bson.encode({"_id": 1}), bson.encode({})],
        ("shop", "view"): [],
    }


@pytest.fixture(scope="session")
def small_archive(small_documents: dict[tuple[str, str], list[bytes]]) -> bytes:
    """An archive of our own: some hundred bytes, every kind of namespace."""
    pieces: list[bytes] = []
    writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
    kinds = {"system.buckets.series": ("series", "timeseries"), "view": ("view", "view")}
    entries = []
    for db, data in small_documents:
        name, kind = kinds.get(data, (data, "collection"))
        text = format_metadata(collection=name, type=kind, options=bson.encode({}), indexes=(), uuid=None)
        entries.append(PreludeEntry(db=db, collection=name, type=kind, metadata_text=text))
    writer.prelude(ArchiveHeader(server_version="6.0.5", tool_version="test"), entries)
    for (db, data), documents in small_documents.items():
        writer.begin(db, data)
        for document in documents:
            writer.documents(document)
        writer.end()
    writer.flush()
    assert writer.bytes == len(b"".join(pieces))
    return b"".join(pieces)
