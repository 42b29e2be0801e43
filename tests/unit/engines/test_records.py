from __future__ import annotations

import bson

from mongo_backup.catalog import CatalogEntry
from mongo_backup.digest import DocumentDigest
from mongo_backup.engines.records import namespace_record, prelude_entries

OPTIONS = {"timeseries": {"timeField": "t", "metaField": "m"}}
SERIES = CatalogEntry(db="d", collection="series", type="timeseries", options=bson.encode(OPTIONS))
BUCKETS = CatalogEntry(
    db="d", collection="system.buckets.series", uuid="1" * 32, options=bson.encode({"validator": {}, **OPTIONS})
)
PLAIN = CatalogEntry(db="d", collection="plain", uuid="2" * 32)


def test_a_time_series_is_announced_once_under_its_own_name() -> None:
    found = prelude_entries([PLAIN, SERIES, BUCKETS])
    assert [(entry.collection, entry.type, entry.data_collection) for entry in found] == [
        ("plain", "collection", "plain"),
        ("series", "timeseries", "system.buckets.series"),
    ]


def test_buckets_alone_announce_their_series() -> None:
    (found,) = prelude_entries([BUCKETS])
    assert (found.collection, found.type) == ("series", "timeseries")
    assert bson.decode(found.metadata().options) == OPTIONS


def test_a_record_says_what_was_read() -> None:
    digest = DocumentDigest()
    digest.add([b"12345"])
    record = namespace_record(PLAIN, digest, at_cluster_time=True, owned=True)
    assert (record.documents, record.bytes, record.digest) == (1, 5, digest.hexdigest())
    assert (record.at_cluster_time, record.orphans_left_out, record.uuid) == (True, True, "2" * 32)
    assert namespace_record(SERIES).options == OPTIONS
