"""What is restored, and under which name."""

from __future__ import annotations

import pytest

from mongo_backup.restore.rules import RestoreRules


@pytest.mark.parametrize(
    "namespace",
    [
        "admin.system.users",
        "admin.system.version",
        "admin.system.keys",
        "admin.mongo_backup_journal",
        "config.chunks",
        "config.shards",
        "config.transactions",
        "local.oplog.rs",
        "shop.system.profile",
        "shop.system.views",
    ],
)
def test_what_belongs_to_the_server_is_never_restored(namespace: str) -> None:
    assert not RestoreRules().accepts(*namespace.split(".", 1))


@pytest.mark.parametrize("namespace", ["admin.notes", "shop.orders", "shop.system.js", "shop.system.buckets.readings"])
def test_users_data_are_restored(namespace: str) -> None:
    assert RestoreRules().accepts(*namespace.split(".", 1))


def test_patterns_and_the_buckets_of_a_time_series() -> None:
    rules = RestoreRules(include=("shop.*",), exclude=("shop.secret*",))
    accepted = {name for name in ("orders", "secrets", "system.buckets.readings") if rules.accepts("shop", name)}
    assert accepted == {"orders", "system.buckets.readings"}
    assert not rules.accepts("crm", "orders")


def test_new_names() -> None:
    rules = RestoreRules(rename={"shop.orders": "old.orders_then", "shop.*": "old.*"})
    assert rules.new_name("shop", "orders") == ("old", "orders_then")
    assert rules.new_name("shop", "system.buckets.orders") == ("old", "system.buckets.orders_then")
    assert rules.new_name("shop", "other") == ("old", "other")
    assert rules.new_name("crm", "orders") == ("crm", "orders")
    assert not rules.whole
    assert RestoreRules().whole
