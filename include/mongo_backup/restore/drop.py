"""Drops what a restore replaces. Never anything in `admin` but a selected collection, nothing in `config` or `local`.

In a sharded cluster databases and collections are dropped by the commands that a mongos sends to a database's primary
shard (`_shardsvrDropDatabase`, `_shardsvrDropCollection`; src/mongo/s/request_types, MongoDB 5.0 and newer), so that
routing, shards and their caches agree. What routing does not know but a shard holds (leftovers of a failed restore) is
dropped on the shard.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo.errors import OperationFailure

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.namespaces import BUCKETS_PREFIX
from mongo_backup.restore.concerns import MAJORITY

log = logging.getLogger(__name__)

NEVER_DROPPED = frozenset({"admin", "config", "local"})
_NOT_FOUND = 26

Namespace = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class DropPlan:
    """What goes.

    :param databases: dropped whole.
    :param namespaces: dropped one by one: `(database, collection)`; a time series by the name that users know.
    """

    databases: frozenset[str] = frozenset()
    namespaces: frozenset[Namespace] = frozenset()


@dataclass
class Dropped:
    """What went."""

    databases: int = 0
    collections: int = 0


def drop_on_member(*, client: Client, host: str, plan: DropPlan) -> Dropped:
    """Drop on one replica set, standalone, or shard (directly: what routing does not know)."""
    dropped = Dropped()
    with mongo_errors("dropping", host):
        present = set(client.list_database_names())
        for name in sorted(plan.databases & present - NEVER_DROPPED):
            client[name].command({"dropDatabase": 1, "writeConcern": MAJORITY})
            log.info("%s: dropped database %s", host, name)
            dropped.databases += 1
        for db, collections in _by_database(plan.namespaces).items():
            there = set(client[db].list_collection_names()) if db in present - plan.databases else set()
            for collection in collections:
                dropped.collections += _drop_collection(client, host, db, collection, there)
    return dropped


def _drop_collection(client: Client, host: str, db: str, collection: str, there: set[str]) -> int:
    for name in (collection, BUCKETS_PREFIX + collection):  # the buckets: on a shard without the users' name
        if name in there:
            try:
                client[db].command({"drop": name, "writeConcern": MAJORITY})
            except OperationFailure as error:
                if error.code != _NOT_FOUND:  # gone with the time series
                    raise
            else:
                log.info("%s: dropped %s.%s", host, db, name)
    return int(collection in there)


def _by_database(namespaces: Iterable[Namespace]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for db, collection in sorted(namespaces):
        found.setdefault(db, []).append(collection)
    return found


@dataclass(frozen=True, kw_only=True)
class ShardedTarget:
    """The parts of a cluster that dropping takes.

    :param shards: each shard's client (following its primary) and address for messages, by name.
    """

    config: Client
    config_host: str
    shards: Mapping[str, tuple[Client, str]]


def drop_in_cluster(target: ShardedTarget, plan: DropPlan) -> Dropped:
    """Drop in a sharded cluster: what routing knows through it, the rest on each shard."""
    dropped = Dropped()
    with mongo_errors("reading config.databases", target.config_host):
        known = {document["_id"]: document for document in target.config.config.databases.find()}
    for name in sorted(plan.databases - NEVER_DROPPED):
        if name in known:
            _drop_database(target, name, known[name])
            dropped.databases += 1
    for db, collections in _by_database(plan.namespaces).items():
        for collection in collections:
            if db in known and db not in plan.databases:
                _drop_routed(target, db, collection, known[db])
                dropped.collections += 1
    _drop_leftovers(target, plan)
    return dropped


def _drop_database(target: ShardedTarget, name: str, document: dict[str, Any]) -> None:
    client, host = target.shards[document["primary"]]
    with mongo_errors(f"dropping database {name}", host):
        client[name].command(
            {"_shardsvrDropDatabase": 1, "databaseVersion": document["version"], "writeConcern": MAJORITY}
        )
    log.info("dropped database %s (primary shard %s) from the cluster", name, document["primary"])


def _drop_routed(target: ShardedTarget, db: str, collection: str, document: dict[str, Any]) -> None:
    client, host = target.shards[document["primary"]]
    with mongo_errors(f"dropping {db}.{collection}", host):
        try:
            client[db].command(
                {
                    "_shardsvrDropCollection": collection,
                    "databaseVersion": document["version"],
                    "writeConcern": MAJORITY,
                }
            )
        except OperationFailure as error:
            if error.code != _NOT_FOUND:
                raise
        else:
            log.info("dropped %s.%s from the cluster", db, collection)


def _drop_leftovers(target: ShardedTarget, plan: DropPlan) -> None:
    for name, (client, host) in target.shards.items():
        left = drop_on_member(client=client, host=host, plan=plan)
        if left.databases or left.collections:
            log.warning(
                "shard %s held %d databases and %d collections that routing did not know: dropped",
                name,
                left.databases,
                left.collections,
            )


def forget_range_deletions(*, client: Client, host: str, uuids: Iterable[str]) -> int:
    """Remove a shard's pending clean-ups after migrations of these collections, and return how many there were.

    They outlive a drop. The restored collection has the same UUID, and minutes later its documents would be deleted in
    ranges that the shard had given away before it got them back from the backup. The server's task ends when its
    document is gone (src/mongo/db/s/range_deletion_util.cpp, `ensureRangeDeletionTaskStillExists`).
    """
    wanted = set(uuids)
    with mongo_errors("removing pending range deletions", host):
        collection = client.config.rangeDeletions
        pending = list(collection.find({}, {"collectionUuid": 1, "nss": 1}))
        mine = [task["_id"] for task in pending if bytes(task["collectionUuid"]).hex() in wanted]
        if mine:
            client.config.command(
                {
                    "delete": "rangeDeletions",
                    "deletes": [{"q": {"_id": {"$in": mine}}, "limit": 0}],
                    "writeConcern": MAJORITY,
                }
            )
            log.info("%s: removed %d pending range deletions of former migrations", host, len(mine))
    return len(mine)
