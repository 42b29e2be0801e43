"""Routing documents on their way to another cluster."""

from __future__ import annotations

import io
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from mongo_backup.archive.format import ArchiveHeader, PreludeEntry
from mongo_backup.archive.writer import ArchiveWriter
from mongo_backup.errors import PermanentError, PreconditionError
from mongo_backup.restore.routing import Rewriter, Routing, check_chunks, read_routing
from mongo_backup.restore.rules import RestoreRules

NOW = Timestamp(1_700_000_000, 1)
THEN = Timestamp(1_600_000_000, 1)
OURS, SESSIONS = Binary(b"1" * 16, 4), Binary(b"2" * 16, 4)


def chunk(uuid: Binary, shard: str = "s0") -> dict[str, Any]:
    history = [{"validAfter": THEN, "shard": shard}, {"validAfter": THEN, "shard": "gone"}]
    return {"_id": ObjectId(), "uuid": uuid, "min": {"n": 0}, "max": {"n": 1}, "shard": shard, "history": history}


def source(**more: list[dict[str, Any]]) -> io.BytesIO:
    documents: dict[str, list[dict[str, Any]]] = {
        "databases": [{"_id": "shop", "primary": "s0"}, {"_id": "empty", "primary": "s1"}, {"_id": "config"}],
        "collections": [
            {"_id": "shop.orders", "uuid": OURS, "key": {"n": 1}},
            {"_id": "config.system.sessions", "uuid": SESSIONS, "key": {"_id": 1}},
            {"_id": "shop.system.resharding.1", "uuid": SESSIONS, "key": {"_id": 1}},
        ],
        "chunks": [chunk(OURS), chunk(SESSIONS)],
        "tags": [{"ns": "shop.orders", "tag": "a"}, {"ns": "other.orders", "tag": "b"}],
        "settings": [{"_id": "chunksize", "value": 1}, {"_id": "balancer", "stopped": True}],
        "shards": [{"_id": "s0"}],
    } | more
    pieces: list[bytes] = []
    writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
    entries = [PreludeEntry(db="config", collection=name, type="collection") for name in documents]
    writer.prelude(ArchiveHeader(server_version="6.0.5", tool_version="test"), entries)
    for name, found in documents.items():
        writer.begin("config", name)
        writer.documents(b"".join(map(bson.encode, found)))
        writer.end()
    writer.flush()
    return io.BytesIO(b"".join(pieces))


def test_a_whole_restore_takes_all_but_what_is_the_clusters_own() -> None:
    found = read_routing(source(), rules=RestoreRules(), databases={"shop"})
    assert found.databases.keys() == {"shop", "empty"}
    assert found.collections.keys() == {"shop.orders"}
    assert [bytes(raw["uuid"]) for raw in found.chunks] == [bytes(OURS)]
    assert [tag["tag"] for tag in found.tags] == ["a"]
    assert [setting["_id"] for setting in found.settings] == ["chunksize"]
    assert found.shard_keys == {"shop.orders": {"n": 1}}
    check_chunks(found)


def test_a_part_takes_what_it_needs() -> None:
    found = read_routing(source(), rules=RestoreRules(include=("shop.customers",)), databases={"shop"})
    assert (found.databases.keys(), found.collections, found.chunks, found.tags, found.settings) == (
        {"shop"},
        {},
        [],
        [],
        [],
    )


def test_a_collection_without_chunks_is_not_routed() -> None:
    with pytest.raises(PermanentError, match=r"no chunks of the sharded collection shop\.orders"):
        check_chunks(Routing(collections={"shop.orders": {"uuid": OURS, "key": {"n": 1}}}))


def test_shards_are_mapped_and_incarnations_are_new() -> None:
    rewriter = Rewriter(shard_map={"s0": "x0"}, now=NOW)
    version = {"uuid": SESSIONS, "timestamp": THEN, "lastMod": 7}
    database = rewriter.database({"_id": "shop", "primary": "s0", "version": version})
    assert (database["primary"], database["version"]["timestamp"], database["version"]["lastMod"]) == ("x0", NOW, 1)
    assert database["version"]["uuid"] != SESSIONS
    old = {"_id": "shop.orders", "uuid": OURS, "timestamp": THEN, "lastmodEpoch": ObjectId(), "reshardingFields": {}}
    collection = rewriter.collection(old)
    assert (collection["uuid"], collection["timestamp"]) == (OURS, NOW)
    assert collection["lastmodEpoch"] != old["lastmodEpoch"]
    assert "reshardingFields" not in collection
    found = rewriter.chunk(RawBSONDocument(bson.encode(chunk(OURS))))
    assert (found["shard"], [entry["shard"] for entry in found["history"]]) == ("x0", ["x0"])


def test_documents_of_old_servers_keep_their_form() -> None:
    rewriter = Rewriter(shard_map={"s0": "s0"}, now=NOW)
    old = {"_id": "shop.orders", "lastmodEpoch": ObjectId(), "key": {"n": 1}}
    assert rewriter.collection(old) == old
    database = {"_id": "shop", "primary": "s0", "version": {"uuid": OURS, "lastMod": 3}}
    assert rewriter.database(database) == database


def test_a_shard_without_a_place_is_refused() -> None:
    with pytest.raises(PreconditionError, match="shard s9"):
        Rewriter(shard_map={"s0": "s0"}, now=NOW).chunk(RawBSONDocument(bson.encode(chunk(OURS, "s9"))))
