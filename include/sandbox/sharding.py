"""What a mongos would do for a sharded cluster, done on the config server and the shards directly.

The commands are those that MongoDB 6.0's own mongos sends (src/mongo/s/request_types, `*.idl`).
A key is hashed as the server does it (src/mongo/db/hasher.cpp): MD5 over seed, canonical type and value.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bson import MaxKey, MinKey
from pymongo.errors import OperationFailure

from mongo_backup.errors import PermanentError
from sandbox.cluster import CONFIG, MAJORITY, ShardedCluster
from sandbox.waiting import wait_until

BATCH = 1000
_NUMBER_TYPE = 10  # canonicalizeBSONType of every number
_BUSY = {46, 117, 237, 9996}  # LockBusy, ConflictingOperationInProgress and their like: try again
Key = Mapping[str, Any]


@dataclass(frozen=True)
class Chunk:
    """A range of the shard key, from `low` up to but without `high`, and the shard that owns it."""

    low: Key
    high: Key
    shard: str


def create_database(cluster: ShardedCluster, name: str, *, primary_shard: str) -> None:
    """Register a database with the shard that holds its unsharded collections. Fine if it is there."""
    cluster.admin_client(CONFIG).admin.command(
        {"_configsvrCreateDatabase": name, "primaryShardId": primary_shard, "writeConcern": MAJORITY}
    )


def primary_shard(cluster: ShardedCluster, database: str) -> str:
    """Return the shard that holds a database's unsharded collections."""
    return str(_database_entry(cluster, database)["primary"])


def _database_entry(cluster: ShardedCluster, database: str) -> dict[str, Any]:
    entry: dict[str, Any] | None = cluster.admin_client(CONFIG).config.databases.find_one({"_id": database})
    if entry is None:
        raise PermanentError(f"the cluster has no database {database}: create it with create_database")
    return entry


def shard_collection(
    cluster: ShardedCluster,
    namespace: str,
    key: Mapping[str, int | str],
    *,
    unique: bool = False,
    initial_chunks: int | None = None,
    **options: Any,
) -> None:
    """Create a sharded collection.

    :param initial_chunks: for an empty one with a hashed key: how many chunks, spread over the shards.
    :param options: further fields of `_shardsvrCreateCollection`, such as `timeseries`.
    """
    database, _, collection = namespace.partition(".")
    entry = _database_entry(cluster, database)
    command: dict[str, Any] = {
        "_shardsvrCreateCollection": collection,
        "shardKey": dict(key),
        "unique": unique,
        **options,
        "databaseVersion": entry["version"],
        "writeConcern": MAJORITY,
    }
    if initial_chunks:
        command["numInitialChunks"] = initial_chunks
    cluster.admin_client(str(entry["primary"]))[database].command(command)


def move_range(cluster: ShardedCluster, namespace: str, *, low: Key, high: Key, to_shard: str) -> None:
    """Move a range of documents to another shard. The donor keeps its copies, as orphans: see `mongod.PARAMETERS`."""
    command = {
        "_configsvrMoveRange": namespace,
        "toShard": to_shard,
        "min": dict(low),
        "max": dict(high),
        "writeConcern": MAJORITY,
    }

    def moved() -> bool:
        try:
            cluster.admin_client(CONFIG).admin.command(command)
        except OperationFailure as error:
            if error.code in _BUSY:
                return False
            raise
        return True

    wait_until(moved, what=f"a range of {namespace} has moved to {to_shard}", interval=0.5)


def chunks(cluster: ShardedCluster, namespace: str) -> list[Chunk]:
    """Return the chunks of a sharded collection in the order of the key."""
    config = cluster.admin_client(CONFIG).config
    entry = config.collections.find_one({"_id": namespace})
    if entry is None:
        raise PermanentError(f"{namespace} is not sharded")
    found = config.chunks.find({"uuid": entry["uuid"]}).sort("min", 1)
    return [Chunk(low=each["min"], high=each["max"], shard=each["shard"]) for each in found]


def hashed(value: int) -> int:
    """Return the 64-bit hash of a whole number in a hashed index."""
    digest = hashlib.md5(struct.pack("<iiq", 0, _NUMBER_TYPE, value), usedforsecurity=False).digest()
    return int(struct.unpack_from("<q", digest)[0])


def owner(ranges: Iterable[Chunk], field: str, value: int) -> str:
    """Return the shard that owns the value (already hashed for a hashed key) of a key of one field."""
    for chunk in ranges:
        low, high = chunk.low[field], chunk.high[field]
        if (isinstance(low, MinKey) or low <= value) and (isinstance(high, MaxKey) or value < high):
            return chunk.shard
    raise PermanentError(f"no chunk holds {field}={value}")


def insert_routed(
    cluster: ShardedCluster, namespace: str, documents: Iterable[dict[str, Any]], *, field: str, hash_key: bool = False
) -> None:
    """Insert each document on the shard that owns it, by a shard key of one number."""
    database, _, collection = namespace.partition(".")
    ranges = chunks(cluster, namespace)
    by_shard: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        value = hashed(document[field]) if hash_key else document[field]
        by_shard.setdefault(owner(ranges, field, value), []).append(document)
    for shard, owned in by_shard.items():
        target = cluster.admin_client(shard)[database][collection]
        for start in range(0, len(owned), BATCH):
            target.insert_many(owned[start : start + BATCH])
