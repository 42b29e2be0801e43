from __future__ import annotations

import datetime as dt
import io
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp

from mongo_backup.archive.metadata import extended_json, format_metadata, parse_metadata
from mongo_backup.archive.reader import Prelude, read_archive
from mongo_backup.errors import ArchiveError

ODD: list[dict[str, Any]] = [
    {"pipeline": [{"$match": {"name": {"$regex": "^a", "$ne": "ab"}}}]},
    {"pipeline": [{"$match": {"name": {"$regex": "^a", "$options": "i"}, "_id": {"$type": "string"}}}]},
    {"pipeline": [{"$match": {"name": Regex("^a", "im"), "ref": {"$ref": "c", "$id": 1}}}]},
    {"validator": {"$expr": {"$gt": ["$a", Decimal128("1.50")]}, "n": Int64(5), "d": 5.0, "i": 5}},
    {"a": float("inf"), "b": dt.datetime(1960, 1, 1), "c": MinKey(), "d": MaxKey(), "e": Timestamp(1, 2)},
    {"a": ObjectId(b"0" * 12), "b": Binary(b"\x00\xff", 4), "c": Code("f()", {"x": 1}), "d": Code("g()"), "e": None},
    {"näme": '数据 \u2028 "quoted" </script>', "empty": {}, "list": [], "true": True},
    {"storageEngine": {"wiredTiger": {"configString": "block_compressor=zstd"}}},
]


@pytest.mark.parametrize("options", ODD)
def test_options_and_indexes_come_back_byte_by_byte(options: dict[str, Any]) -> None:
    raw = bson.encode(options)
    index = bson.encode({"v": 2, "key": {"a": 1.0, "b": -1}, "name": "n", "partialFilterExpression": options})
    text = format_metadata(collection="c", type="collection", options=raw, indexes=(index,), uuid="0" * 32)
    found = parse_metadata(text, namespace="d.c")
    assert found.options == raw
    assert found.indexes == (index,)
    assert (found.uuid, found.type, found.collection) == ("0" * 32, "collection", "c")


def test_a_date_that_python_does_not_know() -> None:
    raw = bson.encode({"d": bson.DatetimeMS(-(2**62))})
    text = format_metadata(collection="c", type="collection", options=raw, indexes=(), uuid=None)
    assert parse_metadata(text, namespace="d.c").options == raw
    assert extended_json(raw) == {"d": {"$date": {"$numberLong": str(-(2**62))}}}


def test_the_text_is_mongodumps_own(real_archive: bytes) -> None:
    prelude = next(read_archive(io.BytesIO(real_archive)))
    assert isinstance(prelude, Prelude)
    assert len(prelude.entries) == 18
    for entry in prelude.entries:
        found = entry.metadata()
        text = format_metadata(
            collection=found.collection,
            type=found.type,
            options=found.options,
            indexes=found.indexes,
            uuid=found.uuid,
        )
        assert text == entry.metadata_text


def test_no_text_says_nothing() -> None:
    found = parse_metadata("", namespace="d.c")
    assert (found.options, found.indexes, found.uuid) == (bson.encode({}), (), None)


@pytest.mark.parametrize("text", ["{", "[]", '{"options": 5}', '{"options": {"a": {"$numberInt": "x"}}}', '"text"'])
def test_what_is_no_metadata(text: str) -> None:
    with pytest.raises(ArchiveError, match=r"metadata of d\.c"):
        parse_metadata(text, namespace="d.c")
