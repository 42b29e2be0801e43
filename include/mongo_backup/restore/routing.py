"""Routing of a sharded set: read from the config server's archive and made fit for the target.

What stays: the UUID of each collection (the shards have it too), its key, its chunks and zones. What is new: the
incarnation (`timestamp`, `lastmodEpoch`, a database's `version`). Routers and shards compare incarnations by their
timestamp, and one that remembers the same collection from before the restore, with chunks in other places, would take
the restored routing for older news. With a new one everybody refreshes by himself.
Form of the documents: `type_chunk.cpp`, `type_collection.idl`, `type_database.idl` in src/mongo/s/catalog, MongoDB 6.0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import bson
from bson.binary import Binary, UuidRepresentation
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from mongo_backup.archive.reader import Block, Source, read_archive
from mongo_backup.errors import PermanentError, PreconditionError
from mongo_backup.restore.rules import RestoreRules

Document = dict[str, Any]

SESSIONS = "config.system.sessions"
_KEPT = frozenset({"databases", "collections", "chunks", "tags", "settings"})
_SETTINGS_LEFT_ALONE = frozenset({"balancer"})
_SERVERS_OWN = frozenset({"admin", "config", "local"})
_DROPPED_OF_COLLECTION = frozenset(
    {"reshardingFields", "allowMigrations", "defragmentCollection", "defragmentationPhase"}
)
"""Work that was under way; it ended with the cluster it was done in."""
_RESHARDING = "system.resharding."


@dataclass(kw_only=True)
class Routing:
    """The routing documents of a set that are to be restored; chunks stay raw, there may be many."""

    databases: dict[str, Document] = field(default_factory=dict)
    collections: dict[str, Document] = field(default_factory=dict)
    """Sharded ones, by namespace."""
    chunks: list[RawBSONDocument] = field(default_factory=list)
    tags: list[RawBSONDocument] = field(default_factory=list)
    settings: list[RawBSONDocument] = field(default_factory=list)

    @property
    def shard_keys(self) -> dict[str, Document]:
        """The key of each sharded collection, by namespace (of a time series: that of its buckets)."""
        return {name: document["key"] for name, document in self.collections.items()}

    def uuid(self, namespace: str) -> str:
        """The UUID of a sharded collection, hexadecimal."""
        return bytes(self.collections[namespace]["uuid"]).hex()


def read_routing(source: Source, *, rules: RestoreRules, databases: Collection[str]) -> Routing:
    """Read the routing of the namespaces that the rules accept.

    :param databases: those of which something is restored; a whole restore takes empty ones too.
    :raises ArchiveError: the archive is damaged or cut off.
    """
    found: dict[str, list[bytes]] = {name: [] for name in _KEPT}
    for event in read_archive(source):
        if isinstance(event, Block) and event.db == "config" and event.collection in _KEPT:
            found[event.collection].extend(event.documents)
    routing = Routing()
    for document in map(bson.decode, found["collections"]):
        if _is_kept(document, rules):
            routing.collections[document["_id"]] = document
    uuids = {bytes(document["uuid"]) for document in routing.collections.values() if "uuid" in document}
    for raw in map(RawBSONDocument, found["chunks"]):
        if ("uuid" in raw and bytes(raw["uuid"]) in uuids) or raw.get("ns") in routing.collections:
            routing.chunks.append(raw)
    for document in map(bson.decode, found["databases"]):
        if document["_id"] not in _SERVERS_OWN and (rules.whole or document["_id"] in databases):
            routing.databases[document["_id"]] = document
    routing.tags = [tag for tag in map(RawBSONDocument, found["tags"]) if tag["ns"] in routing.collections]
    if rules.whole:
        settings = map(RawBSONDocument, found["settings"])
        routing.settings = [each for each in settings if each["_id"] not in _SETTINGS_LEFT_ALONE]
    return routing


def _is_kept(document: Document, rules: RestoreRules) -> bool:
    db, _, collection = document["_id"].partition(".")
    if document["_id"] == SESSIONS or document.get("dropped") or collection.startswith(_RESHARDING):
        return False
    return rules.accepts(db, collection)


class Rewriter:
    """Makes routing documents fit for the target.

    :param shard_map: every shard of the set by its name on the target.
    :param now: a cluster time of the target: the new incarnation.
    """

    def __init__(self, *, shard_map: Mapping[str, str], now: Timestamp) -> None:
        self._shards = shard_map
        self._now = now

    def shard(self, name: str) -> str:
        """The name on the target.

        :raises PreconditionError: nobody said which shard takes its part.
        """
        try:
            return self._shards[name]
        except KeyError:
            raise PreconditionError(
                f"routing of the backup names the shard {name}, which takes no part in the set: add it to shard_map"
            ) from None

    def database(self, document: Document) -> Document:
        """A `config.databases` document."""
        new = {**document, "primary": self.shard(document["primary"])}
        if "timestamp" in document.get("version", {}):
            uuid = Binary.from_uuid(uuid4(), UuidRepresentation.STANDARD)
            new["version"] = {**document["version"], "uuid": uuid, "timestamp": self._now, "lastMod": 1}
        return new

    def collection(self, document: Document) -> Document:
        """A `config.collections` document."""
        new = {name: value for name, value in document.items() if name not in _DROPPED_OF_COLLECTION}
        if "timestamp" in document:
            new |= {"lastmodEpoch": ObjectId(), "timestamp": self._now}
        return new

    def chunk(self, raw: RawBSONDocument) -> Document:
        """A `config.chunks` document; bounds stay raw."""
        new = dict(raw)
        new["shard"] = self.shard(raw["shard"])
        if history := raw.get("history"):
            # A shard's own past on this chunk is gone with its old documents; the newest entry names the owner.
            new["history"] = [{**history[0], "shard": new["shard"]}]
        return new


def chunk_batches(routing: Routing, rewriter: Rewriter, size: int = 1000) -> Iterator[list[Document]]:
    """The chunks, rewritten, in portions."""
    for start in range(0, len(routing.chunks), size):
        yield [rewriter.chunk(raw) for raw in routing.chunks[start : start + size]]


def check_chunks(routing: Routing) -> None:
    """See that every sharded collection has chunks.

    :raises PermanentError: one has none: its routing was not read whole.
    """
    owners = {bytes(raw["uuid"]) if "uuid" in raw else raw["ns"] for raw in routing.chunks}
    for namespace, document in routing.collections.items():
        if bytes(document["uuid"]) not in owners and namespace not in owners:
            raise PermanentError(f"the set has no chunks of the sharded collection {namespace}: it cannot be routed")
