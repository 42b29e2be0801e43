from __future__ import annotations

import pytest

from mongo_backup.errors import ConfigurationError
from mongo_backup.namespaces import ROUTING, Selection, restorable
from mongo_backup.topology.model import ComponentRole

EVERY_ROLE = list(ComponentRole)


@pytest.mark.parametrize("role", EVERY_ROLE)
@pytest.mark.parametrize(
    "namespace",
    [
        "local.oplog.rs",
        "admin.mongo_backup_journal",
        "admin.system.keys",
        "config.system.sessions",
        "config.transactions",
        "config.rangeDeletions",
        "config.cache.chunks.shop.orders",
        "shop.system.views",
        "shop.system.profile",
        "shop.system.resharding.5f",
        "__mdb_internal_x.y",
    ],
)
@pytest.mark.parametrize("include", [(), ("*",), ("local.*", "config.*", "admin.*", "shop.*")])
def test_never_in_a_backup(role: ComponentRole, namespace: str, include: tuple[str, ...]) -> None:
    db, _, collection = namespace.partition(".")
    assert not Selection(role=role, include=include).accepts(db, collection)


@pytest.mark.parametrize("role", EVERY_ROLE)
@pytest.mark.parametrize(
    "namespace",
    [
        "admin.system.users",
        "admin.system.roles",
        "admin.system.version",
        "admin.notes",
        "shop.orders",
        "shop.system.js",
        "shop.system.buckets.readings",
        "shop.a.b.c",
        "shop.with$dollar",
    ],
)
def test_in_a_whole_backup(role: ComponentRole, namespace: str) -> None:
    db, _, collection = namespace.partition(".")
    assert Selection(role=role).accepts(db, collection)


def test_routing_is_kept_of_a_config_server_alone_and_always() -> None:
    for include, exclude in (((), ()), (("shop.*",), ()), ((), ("config.*", "*"))):
        for role in EVERY_ROLE:
            selection = Selection(role=role, include=include, exclude=exclude)
            assert {selection.accepts("config", name) for name in ROUTING} == {role is ComponentRole.CONFIG}


@pytest.mark.parametrize(
    ("include", "exclude", "namespace", "taken"),
    [
        (("shop.*",), (), "shop.orders", True),
        (("shop.*",), (), "shop2.orders", False),
        (("shop.*",), (), "admin.system.users", False),
        (("admin.system.users", "shop.*"), (), "admin.system.users", True),
        (("shop.order*",), (), "shop.orders.old", True),
        (("*.orders",), (), "crm.orders", True),
        (("shop.*",), ("shop.orders",), "shop.orders", False),
        ((), ("shop.*",), "shop.orders", False),
        ((), ("shop.*",), "crm.orders", True),
        ((), ("admin.system.*",), "admin.system.users", False),
        (("shop.readings",), (), "shop.system.buckets.readings", True),
        ((), ("shop.readings",), "shop.system.buckets.readings", False),
        (("shop.a.b",), (), "shop.a.b", True),
        (("shop.a.b",), (), "shop.axb", False),
        ((r"shop.a\*",), (), "shop.a*", True),
        ((r"shop.a\*",), (), "shop.ab", False),
        (("shop.[ab]?",), (), "shop.[ab]?", True),
        (("shop.[ab]?",), (), "shop.a", False),
        (("shop.line*",), (), "shop.line\nbreak", True),
    ],
)
def test_patterns(include: tuple[str, ...], exclude: tuple[str, ...], namespace: str, taken: bool) -> None:
    db, _, collection = namespace.partition(".")
    selection = Selection(role=ComponentRole.REPLICA_SET, include=include, exclude=exclude)
    assert selection.accepts(db, collection) is taken


@pytest.mark.parametrize("pattern", ["shop", "", ".orders", "shop.", "."])
def test_a_pattern_without_both_parts_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not of the form database\.collection"):
        Selection(role=ComponentRole.SHARD, exclude=(pattern,))


def test_what_tells_of_its_deployment_is_never_restored() -> None:
    for namespace in ("admin.system.version", "config.shards", "config.version", "local.x", "config.transactions"):
        assert not restorable(*namespace.split(".", 1))
    for namespace in ("admin.system.users", "config.chunks", "shop.orders"):
        assert restorable(*namespace.split(".", 1))
