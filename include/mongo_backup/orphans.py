"""What a shard owns of a sharded collection, as bounds of index scans.

A shard holds documents that it does not own: leftovers of a migration that its range deleter has not removed yet, and
on the receiving side those of a migration that is not committed. Both are announced in the shard's
`config.rangeDeletions` before they exist or cease to be owned, so only collections named there need a filter. What is
owned stands in the config server's `config.collections` and `config.chunks`; read at one cluster time, the three agree.

The owned ranges are read with `min` and `max` on an index that begins with the shard key
(https://www.mongodb.com/docs/manual/reference/method/cursor.min/), which follow the order over all BSON types. A filter
with `$gte` and `$lt` would lose documents whose key has another type than the bound, and knows nothing of hashed keys.
An index with further fields needs bounds with further fields: those at which the scan meets the first document of the
key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bson
from bson import MaxKey, MinKey
from bson.codec_options import CodecOptions, DatetimeConversion

from mongo_backup.catalog import CatalogEntry
from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import PermanentError
from mongo_backup.manifest.model import ClusterTime

EXACT: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)

Bounds = dict[str, Any]
"""`hint`, `min`, `max` and `collation` of a find command."""

_SIMPLE = {"locale": "simple"}


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A range of shard-key values: from `lower` up to, not including, `upper`."""

    lower: dict[str, Any]
    upper: dict[str, Any]


def read_concern(cluster_time: ClusterTime | None) -> dict[str, Any]:
    """The part of a command that makes it read at a cluster time; empty without one."""
    if cluster_time is None:
        return {}
    at = bson.Timestamp(cluster_time.t, cluster_time.i)
    return {"readConcern": {"level": "snapshot", "atClusterTime": at}}


def collections_with_leftovers(client: Client, *, cluster_time: ClusterTime | None, host: str) -> frozenset[str]:
    """Return the namespaces of which this member of a shard holds documents that the shard may not own."""
    found = _find(client, "rangeDeletions", host, {"projection": {"nss": 1}, **read_concern(cluster_time)})
    return frozenset(document["nss"] for document in found)


def owned_bounds(
    client: Client, *, entry: CatalogEntry, shard: str, cluster_time: ClusterTime | None, host: str
) -> tuple[Bounds, ...] | None:
    """Return the scans that read what a shard owns of a collection, in the order of the shard key.

    :param client: to the config server, at `host`.
    :param entry: the collection as it is on the shard.
    :returns: None if it is not sharded: then nothing in it can be a leftover.
    :raises PermanentError: the shard has no index to scan.
    """
    at = read_concern(cluster_time)
    collections = _find(client, "collections", host, {"filter": {"_id": entry.namespace}, **at})
    sharded = [document for document in collections if "key" in document and not document.get("dropped")]
    if not sharded:
        return None
    key: dict[str, Any] = sharded[0]["key"]
    which = [{"ns": entry.namespace}, *([{"uuid": sharded[0]["uuid"]}] if "uuid" in sharded[0] else [])]
    chunks = _find(client, "chunks", host, {"filter": {"shard": shard, "$or": which}, "sort": {"min": 1}, **at})
    owned = merge(Chunk(lower=document["min"], upper=document["max"]) for document in chunks)
    return tuple(bounds(chunk, index=shard_key_index(entry, key)) for chunk in owned)


def merge(chunks: Iterable[Chunk]) -> list[Chunk]:
    """Join chunks that follow on each other; they come sorted."""
    merged: list[Chunk] = []
    for chunk in chunks:
        if merged and bson.encode(merged[-1].upper) == bson.encode(chunk.lower):
            chunk = Chunk(lower=merged.pop().lower, upper=chunk.upper)
        merged.append(chunk)
    return merged


def shard_key_index(entry: CatalogEntry, key: dict[str, Any]) -> dict[str, Any]:
    """Return the index with the fewest fields that begins with the shard key and holds every document.

    :raises PermanentError: there is none.
    """
    indexes = [bson.decode(raw, EXACT) for raw in entry.indexes]
    usable = [index for index in indexes if _usable(index, list(key.items()))]
    if not usable:
        raise PermanentError(
            f"{entry.namespace} has documents that its shard may not own, and no index that begins with the shard key "
            f"{', '.join(key)} to tell them apart: create it, or wait until the range deleter has removed them"
        )
    return min(usable, key=lambda index: len(index["key"]))


def bounds(chunk: Chunk, *, index: dict[str, Any]) -> Bounds:
    """Return the scan of an index that meets a chunk's documents and no others.

    A bound of nothing but MinKey or MaxKey is left out: the end of the key space is no bound, and `max` would not
    include a document whose key is MaxKey itself.
    """
    # The collection may have a collation of its own; the shard key never has.
    found: Bounds = {"hint": index["name"], "collation": _SIMPLE}
    if not all(isinstance(value, MinKey) for value in chunk.lower.values()):
        found["min"] = _extended(chunk.lower, index["key"])
    if not all(isinstance(value, MaxKey) for value in chunk.upper.values()):
        found["max"] = _extended(chunk.upper, index["key"])
    return found


def _extended(bound: dict[str, Any], pattern: dict[str, Any]) -> dict[str, Any]:
    return {field: bound[field] if field in bound else _first_value(pattern[field]) for field in pattern}


def _first_value(direction: Any) -> MinKey | MaxKey:
    descending = isinstance(direction, int | float) and direction < 0
    return MaxKey() if descending else MinKey()


def _usable(index: dict[str, Any], key: list[tuple[str, Any]]) -> bool:
    partial = any(index.get(option) for option in ("sparse", "partialFilterExpression", "hidden"))
    in_order = index.get("collation", _SIMPLE)["locale"] == _SIMPLE["locale"]
    return not partial and in_order and list(index["key"].items())[: len(key)] == key


def _find(client: Client, collection: str, host: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Read documents of database `config`, types kept."""
    with mongo_errors(f"reading config.{collection}", host):
        config = client.get_database("config", codec_options=EXACT)
        # A plain find() cannot be told a cluster time: only the raw command can.
        return list(config.cursor_command({"find": collection, **options}, codec_options=EXACT))
