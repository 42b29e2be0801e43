from __future__ import annotations

from typing import Any

import pytest

from mongo_backup.topology.privileges import BALANCING_ROUTED, COMMON, JOURNALING, LOCKING, REPLICATED, lacking

EVERYTHING = [{"resource": {"anyResource": True}, "actions": ["anyAction"]}]
BACKUP = [
    {"resource": {"db": "", "collection": ""}, "actions": ["find"]},
    {"resource": {"db": "config", "collection": "settings"}, "actions": ["find", "insert", "update"]},
    {"resource": {"anyResource": True}, "actions": ["collStats", "listCollections", "listIndexes"]},
    {"resource": {"cluster": True}, "actions": ["listDatabases", "serverStatus", "appendOplogNote"]},
]


def test_any_action_on_any_resource_is_enough() -> None:
    assert list(lacking(EVERYTHING, [*COMMON, *REPLICATED, *LOCKING, *JOURNALING])) == []


def test_what_the_built_in_role_lacks_is_named() -> None:
    assert list(lacking(BACKUP, [*COMMON, *BALANCING_ROUTED])) == []
    assert list(lacking(BACKUP, [*REPLICATED, *LOCKING, *JOURNALING])) == [
        "getParameter, inprog, replSetGetConfig, replSetGetStatus, setParameter on the cluster",
        "fsync, unlock on the cluster",
        "insert, remove, update on admin.mongo_backup_journal",
    ]


@pytest.mark.parametrize(
    ("resource", "covers"),
    [
        ({"db": "admin", "collection": "mongo_backup_journal"}, True),
        ({"db": "admin", "collection": ""}, True),
        ({"db": "", "collection": "mongo_backup_journal"}, True),
        ({"db": "", "collection": ""}, True),
        ({"db": "shop", "collection": ""}, False),
        ({"db": "admin", "collection": "other"}, False),
        ({"cluster": True}, False),
        ({"system_buckets": ""}, False),
    ],
)
def test_which_resources_cover_the_journal(resource: dict[str, Any], covers: bool) -> None:
    granted = [{"resource": resource, "actions": ["find", "insert", "remove", "update"]}]
    assert (not list(lacking(granted, JOURNALING))) is covers
