"""Writes routing into a config server and lets shards and routers take note."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import PreconditionError
from mongo_backup.restore.concerns import MAJORITY, MAJORITY_CONCERN
from mongo_backup.restore.routing import Rewriter, Routing, check_chunks, chunk_batches

log = logging.getLogger(__name__)

_NO_SUCH_COMMAND = 59


@dataclass(frozen=True, kw_only=True)
class Written:
    """How many routing documents were written."""

    databases: int
    collections: int
    chunks: int
    tags: int
    settings: int


def cluster_time(config: Client, host: str) -> Timestamp:
    """Return the config server's cluster time."""
    with mongo_errors("asking for the cluster time", host):
        time: Timestamp = config.admin.command("ping")["$clusterTime"]["clusterTime"]
    return time


def write_routing(
    *, config: Client, host: str, routing: Routing, shard_map: Mapping[str, str], keep: Collection[str] = ()
) -> Written:
    """Write the routing documents, majority committed; what an earlier try wrote is written anew.

    Chunks come before their collection and collections before their database, so that nobody routes by half of it.

    :param config: the config server's primary.
    :param keep: sharded namespaces whose routing on the target stays as it is (`existing: merge`).
    :raises PreconditionError: a shard is not mapped, or a database lives on another primary shard.
    """
    check_chunks(routing)
    rewriter = Rewriter(shard_map=shard_map, now=cluster_time(config, host))
    wanted = {name: document for name, document in routing.collections.items() if name not in keep}
    with mongo_errors("writing routing", host):
        database = config.get_database("config", write_concern=MAJORITY_CONCERN)
        _remove(config, {name: document["uuid"] for name, document in wanted.items()})
        kept = {bytes(routing.collections[name]["uuid"]) for name in keep if name in routing.collections}
        chunks = 0
        for batch in chunk_batches(routing, rewriter):
            new = [chunk for chunk in batch if "uuid" not in chunk or bytes(chunk["uuid"]) not in kept]
            if new:
                database.chunks.insert_many(new)
            chunks += len(new)
        tags = [tag for tag in routing.tags if tag["ns"] in wanted]
        if tags:
            database.tags.insert_many(tags)
        if wanted:
            database.collections.insert_many([rewriter.collection(document) for document in wanted.values()])
        databases = _write_databases(config, routing, rewriter)
        for setting in routing.settings:
            database.settings.replace_one({"_id": setting["_id"]}, setting, upsert=True)
    return Written(
        databases=databases,
        collections=len(wanted),
        chunks=chunks,
        tags=len(tags),
        settings=len(routing.settings),
    )


def _remove(config: Client, uuids: Mapping[str, Any]) -> None:
    """Remove what is known of these namespaces, whatever UUID it has."""
    database = config.get_database("config", write_concern=MAJORITY_CONCERN)
    for namespace, uuid in uuids.items():
        known = database.collections.find_one({"_id": namespace}, {"uuid": 1})
        database.collections.delete_one({"_id": namespace})
        for each in {bytes(uuid): uuid, **({bytes(known["uuid"]): known["uuid"]} if known else {})}.values():
            database.chunks.delete_many({"uuid": each})
        database.chunks.delete_many({"ns": namespace})
        database.tags.delete_many({"ns": namespace})


def _write_databases(config: Client, routing: Routing, rewriter: Rewriter) -> int:
    database = config.get_database("config", write_concern=MAJORITY_CONCERN)
    written = 0
    for name, document in routing.databases.items():
        new = rewriter.database(document)
        known = database.databases.find_one({"_id": name})
        if known is None:
            database.databases.insert_one(new)
            written += 1
        elif known["primary"] != new["primary"]:
            raise PreconditionError(
                f"database {name} has the primary shard {known['primary']} on the target and {new['primary']} in the"
                " backup: restore with existing: drop, or move its primary there first (movePrimary)"
            )
    return written


def refresh_shard(*, client: Client, host: str, databases: Iterable[str], collections: Iterable[str]) -> None:
    """Let a shard's primary read the routing anew from the config server.

    Source: `_flushDatabaseCacheUpdates` and `_flushRoutingTableCacheUpdates` (src/mongo/db/s, MongoDB 6.0), which the
    config server itself sends to shards.
    """
    with mongo_errors("refreshing the routing", host):
        for database in databases:
            client.admin.command({"_flushDatabaseCacheUpdates": database, "syncFromConfig": True})
        for namespace in collections:
            client.admin.command({"_flushRoutingTableCacheUpdates": namespace, "syncFromConfig": True})


def refresh_router(client: Client, host: str) -> None:
    """Let a mongos forget what it knows."""
    with mongo_errors("flushing the routing of the mongos", host):
        client.admin.command("flushRouterConfig")


def reset_placement_history(config: Client, host: str) -> None:
    """Tell MongoDB 7.0 and newer that nobody knows where collections were before now (change streams ask for it)."""
    try:
        with mongo_errors("resetting the placement history", host):
            config.admin.command({"_configsvrResetPlacementHistory": 1, "writeConcern": MAJORITY})
    except Exception as error:
        cause = error.__cause__
        if not (isinstance(cause, OperationFailure) and cause.code == _NO_SUCH_COMMAND):
            raise
