"""Which documents a server would change on their way in."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Int64
from bson.timestamp import Timestamp

from mongo_backup.restore.timestamps import holds_empty_timestamp, with_empty_timestamps

EMPTY = Timestamp(0, 0)


@pytest.mark.parametrize("document", [{"a": EMPTY}, {"_id": 1, "b": 0.0, "": EMPTY}, {"x" * 300: EMPTY, "z": 1}])
def test_an_empty_timestamp_at_the_top_level_is_found(document: dict[str, Any]) -> None:
    assert holds_empty_timestamp(bson.encode(document))


@pytest.mark.parametrize(
    "document",
    [
        {"_id": EMPTY},
        {"a": {"b": EMPTY}},
        {"a": [EMPTY]},
        {"a": 0.0, "b": Int64(0)},
        {"a": Timestamp(0, 1)},
        {"a": b"\x11a" + bytes(12)},
    ],
)
def test_others_are_not(document: dict[str, Any]) -> None:
    assert not holds_empty_timestamp(bson.encode(document))


def test_only_those_are_written_again() -> None:
    documents = [bson.encode({"_id": n, "at": EMPTY if n == 2 else Timestamp(n, 1)}) for n in range(4)]
    assert with_empty_timestamps(documents, joined=b"".join(documents)) == [documents[2]]
