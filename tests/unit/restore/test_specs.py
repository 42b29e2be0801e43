"""From an archive's prelude to what is created."""

from __future__ import annotations

import json
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument

from mongo_backup.archive.format import PreludeEntry
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.restore.collections import shard_key_index
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.restore.specs import CollectionSpec, specs_of

BUCKETS_UUID = "ab" * 16
TIME_SERIES = {"timeseries": {"timeField": "at", "metaField": "m"}}


def entry(namespace: str, kind: str = "collection", **metadata: Any) -> PreludeEntry:
    db, _, collection = namespace.partition(".")
    return PreludeEntry(db=db, collection=collection, type=kind, metadata_text=json.dumps(metadata))


def only(entries: list[PreludeEntry], *records: NamespaceRecord, **rules: Any) -> CollectionSpec:
    [spec] = specs_of(entries, rules=RestoreRules(**rules), records=records)
    return spec


def test_options_lose_what_would_destroy_or_be_refused() -> None:
    spec = only([entry("a.b", options={"capped": True, "autoIndexId": True, "expireAfterSeconds": 5})])
    assert (spec.options, spec.expire_after, spec.capped) == ({"capped": True}, 5, True)


def test_indexes_that_let_documents_expire_are_apart() -> None:
    indexes = [{"name": "_id_", "key": {"_id": 1}}, {"name": "a", "key": {"a": 1}}]
    spec = only([entry("a.b", indexes=[*indexes, {"name": "t", "key": {"t": 1}, "expireAfterSeconds": 0}])])
    assert [index["name"] for index in spec.own_indexes(expiring=False)] == ["a"]
    assert [index["name"] for index in spec.own_indexes(expiring=True)] == ["t"]


def test_a_time_series_takes_the_uuid_of_its_buckets() -> None:
    records = [
        NamespaceRecord(db="a", collection="s", type="timeseries"),
        NamespaceRecord(db="a", collection="system.buckets.s", uuid=BUCKETS_UUID, options=TIME_SERIES),
    ]
    spec = only([entry("a.s", "timeseries", options=TIME_SERIES)], *records)
    assert (spec.uuid, spec.buckets_only, spec.data_collection) == (BUCKETS_UUID, False, "system.buckets.s")


def test_on_a_shard_that_is_not_primary_only_the_buckets_are_there() -> None:
    index = {"v": 2, "name": "m_1", "key": {"meta": 1}}
    record = NamespaceRecord(
        db="a",
        collection="system.buckets.s",
        uuid=BUCKETS_UUID,
        options={**TIME_SERIES, "expireAfterSeconds": 60, "clusteredIndex": True},
        indexes=(index,),
    )
    spec = only([entry("a.s", "timeseries", options=TIME_SERIES)], record)
    assert spec.buckets_only
    assert (spec.expire_after, [found["name"] for found in spec.indexes]) == (60, ["m_1"])
    assert spec.options.keys() == {"timeseries"}


def test_new_names_and_selection() -> None:
    entries = [entry("a.b"), entry("a.c"), entry("admin.system.users")]
    spec = only(entries, include=("a.b", "admin.*"), rename={"a.b": "x.y"})
    assert spec.namespace == "x.y"


def test_the_index_of_a_shard_key() -> None:
    def index(name: str, key: dict[str, Any], **more: Any) -> RawBSONDocument:
        return RawBSONDocument(bson.encode({"name": name, "key": key, **more}))

    indexes = [
        index("_id_", {"_id": 1}),
        index("partial", {"k": 1}, partialFilterExpression={"a": 1}),
        index("longer", {"k": 1, "z": 1}),
        index("right", {"k": 1}),
        index("hashed", {"h": "hashed"}),
    ]
    found = {str(key): shard_key_index(indexes, key) for key in ({"k": 1}, {"h": "hashed"}, {"_id": 1}, {"none": 1})}
    assert [each["name"] if each else None for each in found.values()] == ["right", "hashed", None, None]
