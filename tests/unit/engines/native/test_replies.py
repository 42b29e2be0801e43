from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import Int64, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from mongo_backup.engines.native.replies import read_batch
from mongo_backup.errors import PermanentError


def reply(documents: list[dict[str, Any]], *, cursor_id: int = 7, batch: str = "firstBatch") -> bytes:
    """As a server of a replica set answers, with all that stands around the batch."""
    cursor = {batch: documents, "partial": False, "atClusterTime": Timestamp(5, 1), "id": Int64(cursor_id), "ns": "d.c"}
    clock = {"clusterTime": Timestamp(5, 1), "signature": {"hash": b"x" * 20, "keyId": Int64(1)}}
    return bson.encode({"cursor": cursor, "ok": 1.0, "$clusterTime": clock, "operationTime": Timestamp(5, 1)})


@given(st.integers(min_value=0, max_value=40), st.booleans())
def test_documents_come_out_as_they_went_in(count: int, first: bool) -> None:
    documents = [{"_id": number, "text": "x" * (number * 7 % 31)} for number in range(count)]
    batch = read_batch(reply(documents, cursor_id=count, batch="firstBatch" if first else "nextBatch"))
    assert [document for group in batch.groups() for document in group] == list(map(bson.encode, documents))
    assert batch.cursor_id == count
    assert batch.size >= sum(len(bson.encode(document)) for document in documents)


@pytest.mark.parametrize("count", [9, 10, 11, 99, 100, 101, 999, 1000, 1001, 9_999, 10_001, 100_001])
def test_the_numbers_between_documents_grow(count: int) -> None:
    documents = [{"_id": number} for number in range(count)]
    groups = list(read_batch(reply(documents)).groups())
    assert [document for group in groups for document in group] == list(map(bson.encode, documents))
    assert max(map(len, groups)) <= 900
    assert all(groups)


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": 1.0},
        {"cursor": {"id": Int64(0), "ns": "d.c"}, "ok": 1.0},
        {"cursor": {"firstBatch": [], "ns": "d.c"}, "ok": 1.0},
        {"a": bson.Regex("x"), "cursor": {}},
    ],
)
def test_what_is_no_answer_to_find(answer: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match="the server's reply"):
        read_batch(bson.encode(answer))
