from __future__ import annotations

import bson
import pytest

from mongo_backup.archive.writer import FLUSH_BYTES, ArchiveWriter


def test_a_namespace_must_be_ended_before_the_next() -> None:
    writer = ArchiveWriter(lambda _: None)
    with pytest.raises(ValueError, match="no namespace was begun"):
        writer.end()
    writer.begin("d", "a")
    with pytest.raises(ValueError, match=r"d\.a is not ended"):
        writer.begin("d", "b")


def test_small_pieces_are_gathered_and_large_ones_are_not() -> None:
    pieces: list[int] = []
    writer = ArchiveWriter(lambda piece: pieces.append(len(piece)))
    writer.begin("d", "a")
    small = bson.encode({"_id": 1})
    for _ in range(FLUSH_BYTES // len(small)):
        writer.documents(small)
    assert len(pieces) == 1
    large = bson.encode({"pad": b"x" * FLUSH_BYTES})
    writer.documents(memoryview(large))
    assert pieces[-1] == len(large)
    writer.end()
    writer.flush()
    writer.flush()
    assert sum(pieces) == writer.bytes
