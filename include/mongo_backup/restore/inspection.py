"""What is on a target already, as far as a restore may meet it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mongo_backup.catalog import RAW
from mongo_backup.connection import Client, mongo_errors
from mongo_backup.namespaces import Selection, data_name
from mongo_backup.restore.drop import NEVER_DROPPED
from mongo_backup.restore.routing import Routing
from mongo_backup.topology.model import ComponentRole

Namespace = tuple[str, str]
_USERS_DATA = Selection(role=ComponentRole.SHARD)


@dataclass(kw_only=True)
class TargetState:
    """Namespaces, databases and routing of a target."""

    namespaces: dict[str, set[Namespace]] = field(default_factory=dict)
    """By component: everything in the databases that the restore writes, a time series by the name users know."""
    other_databases: set[str] = field(default_factory=set)
    """Databases with data of somebody else's."""
    primary_shards: dict[str, str] = field(default_factory=dict)
    """Sharded: the primary shard of each database that routing knows."""
    routed: set[Namespace] = field(default_factory=set)
    """Sharded: all collections that routing knows, by the names that users know."""
    routed_otherwise: set[Namespace] = field(default_factory=set)
    """Those of the backup that exist here with another UUID or other chunks."""

    @property
    def everywhere(self) -> set[Namespace]:
        """Namespaces of any component, or known to routing."""
        return self.routed.union(*self.namespaces.values())


def inspect_member(
    state: TargetState, *, client: Client, host: str, component: str, databases: Collection[str]
) -> None:
    """Add what a component holds.

    :param databases: those that the restore writes.
    """
    found: set[Namespace] = set()
    with mongo_errors("listing databases and collections", host):
        for db in client.list_database_names():
            if db not in databases:
                state.other_databases |= {db} - NEVER_DROPPED
                continue
            names = set(client[db].list_collection_names())
            found |= {(db, data_name(name)) for name in names if _USERS_DATA.accepts(db, name)}
    state.namespaces[component] = found


def known_name(namespace: str) -> Namespace:
    """Split a namespace as routing has it; a time series by the name that users know."""
    db, _, collection = namespace.partition(".")
    return db, data_name(collection)


def inspect_routing(state: TargetState, *, config: Client, host: str, databases: Collection[str]) -> None:
    """Add what the config server knows.

    :param databases: those that the restore writes.
    """
    with mongo_errors("reading routing", host):
        for document in config.config.databases.find({}, {"primary": 1}):
            state.primary_shards[document["_id"]] = document["primary"]
        known = map(known_name, config.config.collections.distinct("_id"))
        state.routed |= {name for name in known if name[0] in databases}


def compare_with_backup(
    state: TargetState, *, config: Client, host: str, routing: Routing, shard_map: Mapping[str, str]
) -> None:
    """Add which collections of the backup are routed otherwise here.

    :param shard_map: every shard of the set by its name on the target.
    """
    wanted = _chunks_by_owner(routing, shard_map)
    with mongo_errors("reading routing", host):
        for known in config.config.collections.find({"_id": {"$in": list(routing.collections)}}, {"uuid": 1}):
            uuid = routing.collections[known["_id"]]["uuid"]
            if known.get("uuid") != uuid or _chunks(config, uuid) != wanted.get(bytes(uuid)):
                state.routed_otherwise.add(known_name(known["_id"]))


def _chunks_by_owner(routing: Routing, shard_map: Mapping[str, str]) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = {}
    for raw in routing.chunks:
        if "uuid" in raw:
            found.setdefault(bytes(raw["uuid"]), set()).add(_place(raw, shard_map.get(raw["shard"], "")))
    return found


def _chunks(config: Client, uuid: Any) -> set[bytes]:
    chunks = config.config.get_collection("chunks", codec_options=RAW)
    found = chunks.find({"uuid": uuid}, {"min": 1, "max": 1, "shard": 1})
    return {_place(raw, raw["shard"]) for raw in found}


def _place(raw: Mapping[str, Any], shard: str) -> bytes:
    return b"".join((bytes(raw["min"].raw), bytes(raw["max"].raw), shard.encode()))


def mapped_owners(routing: Routing, shard_map: Mapping[str, str]) -> dict[str, str]:
    """The primary shard that each database of the backup will have on the target."""
    return {name: shard_map.get(document["primary"], "") for name, document in routing.databases.items()}
