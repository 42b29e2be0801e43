from __future__ import annotations

import datetime as dt
from typing import Any

import bson
import pytest
from bson import MaxKey, MinKey, ObjectId

from mongo_backup.errors import PermanentError
from mongo_backup.namespaces import ROUTING
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.seed import METER_BUCKETS, ORDERS, Seeded
from sandbox.sharding import create_database, hashed, insert_routed, move_range, shard_collection

pytestmark = pytest.mark.integration

DB = "orphans"
DOCUMENTS = 2000


@pytest.fixture(scope="module")
def cluster(sharded_cluster: ShardedCluster) -> ShardedCluster:
    create_database(sharded_cluster, DB, primary_shard="shard0")
    return sharded_cluster


def held(cluster: ShardedCluster, shard: str, namespace: str) -> int:
    db, _, collection = namespace.partition(".")
    return cluster.admin_client(shard)[db][collection].count_documents({})


def dumped_once(dumps: Any, cluster: ShardedCluster, namespace: str, documents: list[dict[str, Any]]) -> list[int]:
    """Dump both shards at one time; together they hold each document exactly once. Returns how many each holds."""
    point = dumps.now(cluster)
    found = [
        dumps.run(dumps.job(cluster, shard, include=(namespace,), cluster_time=point)) for shard in cluster.shard_names
    ]
    parts = [each.documents.get(namespace, []) for each in found]
    assert sorted(parts[0] + parts[1]) == sorted(map(bson.encode, documents))
    for each, part in zip(found, parts, strict=True):
        assert each.record(namespace).documents == len(part)
        assert each.record(namespace).at_cluster_time
    assert found[0].record(namespace).orphans_left_out
    return [len(part) for part in parts]


def test_a_moved_range_is_dumped_by_its_new_owner_alone(cluster: ShardedCluster, dumps: Any) -> None:
    namespace = f"{DB}.ranged"
    documents = [{"_id": number, "k": number, "pad": "x" * 50} for number in range(DOCUMENTS)]
    shard_collection(cluster, namespace, {"k": 1})
    insert_routed(cluster, namespace, documents, field="k")
    move_range(cluster, namespace, low={"k": 1500}, high={"k": MaxKey()}, to_shard="shard1")
    assert held(cluster, "shard0", namespace) == DOCUMENTS
    assert dumped_once(dumps, cluster, namespace, documents) == [1500, 500]


def test_several_ranges_of_which_some_came_back(cluster: ShardedCluster, dumps: Any) -> None:
    namespace = f"{DB}.pieces"
    documents = [{"_id": number, "k": number} for number in range(DOCUMENTS)]
    shard_collection(cluster, namespace, {"k": 1})
    insert_routed(cluster, namespace, documents, field="k")
    for low, high in ((100, 200), (200, 300), (1000, 1100)):
        move_range(cluster, namespace, low={"k": low}, high={"k": high}, to_shard="shard1")
    assert dumped_once(dumps, cluster, namespace, documents) == [DOCUMENTS - 300, 300]


def test_hashed_keys(cluster: ShardedCluster, dumps: Any) -> None:
    namespace = f"{DB}.hashed"
    documents = [{"_id": number, "k": number} for number in range(DOCUMENTS)]
    shard_collection(cluster, namespace, {"k": "hashed"}, initial_chunks=1)
    insert_routed(cluster, namespace, documents, field="k", hash_key=True)
    move_range(cluster, namespace, low={"k": bson.Int64(0)}, high={"k": MaxKey()}, to_shard="shard1")
    assert held(cluster, "shard0", namespace) == DOCUMENTS
    moved = sum(hashed(number) >= 0 for number in range(DOCUMENTS))
    assert dumped_once(dumps, cluster, namespace, documents) == [DOCUMENTS - moved, moved]


MIXED: list[Any] = [
    *(MinKey(), None, -5, 5, 5.5, bson.Int64(2**40), bson.Decimal128("1E+400"), float("nan"), float("-inf")),
    *("", "a", "m", "zebra", {"a": 1}, {}, b"bytes", ObjectId(b"0" * 12), True, False),
    *(dt.datetime(2020, 1, 1, tzinfo=dt.UTC), bson.Timestamp(5, 5), bson.Regex("^a")),
]
"""All but MaxKey: the server refuses to store it as a whole shard key."""


@pytest.mark.parametrize(
    ("name", "low", "high", "moved"),
    [
        ("within_strings", "b", "n", 1),
        ("numbers_to_strings", 5, "m", 6),
        ("null_and_missing", None, -5, 4),
        ("up_to_the_end", dt.datetime(2000, 1, 1, tzinfo=dt.UTC), MaxKey(), 3),
        ("from_the_start", MinKey(), 0, 6),
    ],
)
def test_keys_of_all_types(cluster: ShardedCluster, dumps: Any, name: str, low: Any, high: Any, moved: int) -> None:
    namespace = f"{DB}.mixed_{name}"
    shard_collection(cluster, namespace, {"k": 1})
    documents = [{"_id": number, "k": value} for number, value in enumerate(MIXED)] + [{"_id": 99}]
    cluster.admin_client("shard0")[DB][f"mixed_{name}"].insert_many(documents)
    move_range(cluster, namespace, low={"k": low}, high={"k": high}, to_shard="shard1")
    assert held(cluster, "shard0", namespace) == len(documents)
    kept, gone = dumped_once(dumps, cluster, namespace, documents)
    assert (kept, gone) == (len(documents) - moved, moved)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_compound_key_read_by_an_index_with_further_fields(
    cluster: ShardedCluster, dumps: Any, direction: int
) -> None:
    name = f"compound{direction}".replace("-", "_")
    namespace = f"{DB}.{name}"
    shard_collection(cluster, namespace, {"a": 1, "b": 1})
    collection = cluster.admin_client("shard0")[DB][name]
    collection.create_index([("a", 1), ("b", 1), ("c", direction), ("_id", -direction)])
    collection.drop_index("a_1_b_1")
    documents = [{"_id": number, "a": number % 10, "b": number % 7, "c": number} for number in range(500)]
    collection.insert_many(documents)
    move_range(cluster, namespace, low={"a": 3, "b": 2}, high={"a": 6, "b": MinKey()}, to_shard="shard1")
    moved = sum((3, 2) <= (each["a"], each["b"]) < (6, -1) for each in documents)
    assert dumped_once(dumps, cluster, namespace, documents) == [500 - moved, moved]


def test_a_collection_with_a_collation_of_its_own(cluster: ShardedCluster, dumps: Any) -> None:
    namespace = f"{DB}.collated"
    database = cluster.admin_client("shard0")[DB]
    database.create_collection("collated", collation={"locale": "fr", "strength": 1})
    database["collated"].create_index([("k", 1)], collation={"locale": "simple"})
    shard_collection(cluster, namespace, {"k": 1}, collation={"locale": "simple"})
    documents = [{"_id": number, "k": word} for number, word in enumerate(["a", "A", "e", "E", "é", "z", "Z"])]
    database["collated"].insert_many(documents)
    move_range(cluster, namespace, low={"k": "a"}, high={"k": "z"}, to_shard="shard1")
    assert held(cluster, "shard0", namespace) == len(documents)
    assert dumped_once(dumps, cluster, namespace, documents) == [5, 2]


def test_the_config_server_gives_its_routing(seeded_cluster: tuple[ShardedCluster, Seeded], dumps: Any) -> None:
    cluster, _ = seeded_cluster
    dumped = dumps.run(dumps.job(cluster, CONFIG, cluster_time=dumps.now(cluster), include=("shop.orders",)))
    config = {record.collection: record for record in dumped.records if record.db == "config"}
    assert {"chunks", "collections", "databases", "shards"} <= config.keys() <= ROUTING
    assert all(record.at_cluster_time for record in config.values())
    found = dumped.documents["config.chunks"]
    assert sorted(found) == dumps.raw_documents(cluster, CONFIG, "config.chunks")


def test_the_seed_with_its_orphans_and_sharded_time_series(
    seeded_cluster: tuple[ShardedCluster, Seeded], dumps: Any
) -> None:
    cluster, seeded = seeded_cluster
    point = dumps.now(cluster)
    found = [dumps.run(dumps.job(cluster, shard, cluster_time=point)) for shard in cluster.shard_names]
    for namespace, count in seeded.counts.items():
        db, _, collection = namespace.partition(".")
        series = f"{db}.system.buckets.{collection}"
        if any(series in each.documents for each in found):
            continue
        assert sum(len(each.documents.get(namespace, [])) for each in found) == count, namespace
    assert seeded.orphans > 0
    assert found[0].record(ORDERS).orphans_left_out
    buckets = [each.documents[METER_BUCKETS] for each in found]
    ids = [bson.decode(document)["_id"] for part in buckets for document in part]
    assert len(ids) == len(set(ids)) > 0
    announced = [{entry.namespace for entry in each.prelude.entries} for each in found]
    assert all("telemetry.meters" in names for names in announced)


def test_without_the_config_server_a_shard_with_leftovers_is_refused(cluster: ShardedCluster, dumps: Any) -> None:
    with pytest.raises(PermanentError, match=r"orphans\.ranged that it may not own"):
        dumps.run(dumps.job(cluster, "shard0", include=(f"{DB}.ranged",), config_server=None))
