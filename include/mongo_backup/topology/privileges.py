"""What the backup user may do, against what a backup needs.

Sources: MongoDB manual, `connectionStatus` (`showPrivileges`), "Privilege Actions", "Resource Document".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pymongo

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.namespaces import JOURNAL_COLLECTION, JOURNAL_DB

Resource = Mapping[str, Any]

CLUSTER: Resource = {"cluster": True}
ANY_COLLECTION: Resource = {"db": "", "collection": ""}
JOURNAL: Resource = {"db": JOURNAL_DB, "collection": JOURNAL_COLLECTION}
SETTINGS: Resource = {"db": "config", "collection": "settings"}
ANY: Resource = {"anyResource": True}

COMMON: tuple[tuple[Resource, tuple[str, ...]], ...] = (
    (CLUSTER, ("listDatabases", "serverStatus")),
    (ANY_COLLECTION, ("find", "listCollections", "listIndexes")),
)
"""Every component, a standalone too."""
REPLICATED: tuple[tuple[Resource, tuple[str, ...]], ...] = (
    (
        CLUSTER,
        ("appendOplogNote", "getParameter", "inprog", "replSetGetConfig", "replSetGetStatus", "setParameter"),
    ),
    (ANY_COLLECTION, ("collStats",)),
)
"""Every replica set."""
LOCKING: tuple[tuple[Resource, tuple[str, ...]], ...] = ((CLUSTER, ("fsync", "unlock")),)
"""Every replica set, with `consistency: locked`."""
JOURNALING: tuple[tuple[Resource, tuple[str, ...]], ...] = ((JOURNAL, ("find", "insert", "remove", "update")),)
"""The config server, the replica set, or the standalone."""
BALANCING: tuple[tuple[Resource, tuple[str, ...]], ...] = ((CLUSTER, ("internal",)),)
"""The config server, where there is no mongos: mongos' own commands need it."""
BALANCING_ROUTED: tuple[tuple[Resource, tuple[str, ...]], ...] = ((SETTINGS, ("find", "update")),)
"""On a mongos."""
DIRECT_SINCE = "8.0"
DIRECT: tuple[tuple[Resource, tuple[str, ...]], ...] = ((CLUSTER, ("issueDirectShardOperations",)),)
"""Every shard of two or more, from that feature compatibility version on: else it serves those alone who come by mongos
(MongoDB manual, "Compatibility Changes in MongoDB 8.0"; src/mongo/db/direct_connection_util.cpp)."""


def missing(client: Client, host: str, wanted: Sequence[tuple[Resource, Sequence[str]]]) -> list[str]:
    """Return what the connected user lacks, such as `fsync on the cluster`; nothing without access control.

    :param host: for messages.
    """
    with mongo_errors("asking for the user's privileges (connectionStatus)", host), pymongo.timeout(20):
        status = client.admin.command({"connectionStatus": 1, "showPrivileges": True})["authInfo"]
    if not status["authenticatedUsers"]:
        return []  # the server has no access control, or it would not have answered so far
    granted = status["authenticatedUserPrivileges"]
    return list(lacking(granted, wanted))


def lacking(granted: Sequence[Mapping[str, Any]], wanted: Sequence[tuple[Resource, Sequence[str]]]) -> Iterator[str]:
    """Yield what the granted privileges do not cover of the wanted ones."""
    for resource, actions in wanted:
        have = {
            action
            for privilege in granted
            if _covers(privilege["resource"], resource)
            for action in privilege["actions"]
        }
        lack = [] if "anyAction" in have else sorted(set(actions) - have)
        if lack:
            yield f"{', '.join(lack)} on {_words(resource)}"


def _covers(granted: Resource, wanted: Resource) -> bool:
    if granted.get("anyResource"):
        return True
    if wanted.get("cluster") or granted.get("cluster"):
        return bool(wanted.get("cluster") and granted.get("cluster"))
    return all(
        part in granted and granted[part] in ("", wanted[part]) for part in ("db", "collection") if part in wanted
    )


def _words(resource: Resource) -> str:
    if resource.get("cluster"):
        return "the cluster"
    return f"{resource['db']}.{resource['collection']}" if resource["db"] else "every collection"
