"""The decision before a restore."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.raw_bson import RawBSONDocument

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.restore.inspection import TargetState
from mongo_backup.restore.plan import RestorePlan, make_plan
from mongo_backup.restore.routing import Routing
from mongo_backup.restore.rules import RestoreRules

MAPPING = {"config": "config", "s0": "s0", "s1": "s1"}
UUID = Binary(bytes(16), 4)


def routing(**primaries: str) -> Routing:
    databases = {db: {"_id": db, "primary": shard} for db, shard in ({"shop": "s0", "crm": "s1"} | primaries).items()}
    chunk = RawBSONDocument(bson.encode({"uuid": UUID, "min": {}, "max": {}, "shard": "s0"}))
    return Routing(databases=databases, collections={"shop.orders": {"uuid": UUID, "key": {"n": 1}}}, chunks=[chunk])


def plan(manifest: Manifest, state: TargetState, **given: Any) -> RestorePlan:
    fields: dict[str, Any] = {
        "rules": RestoreRules(),
        "existing": "refuse",
        "users": "skip",
        "routing": routing(),
        "target": "shop",
        "mapping": MAPPING,
    } | given
    return make_plan(manifest=manifest, state=state, **fields)


def full() -> TargetState:
    return TargetState(
        namespaces={"s0": {("shop", "orders"), ("shop", "newer")}, "s1": {("crm", "calls"), ("shop", "orders")}},
        other_databases={"theirs"},
        primary_shards={"shop": "s0", "crm": "s1"},
        routed={("shop", "orders")},
    )


def test_an_empty_target_is_simply_filled(manifest: Manifest) -> None:
    found = plan(manifest, TargetState())
    assert (found.namespaces, found.documents, found.bytes, found.dropped) == (4, 50, 500, ())
    assert any("s1 into s1: 2 namespaces, 20 documents" in line for line in found.words)


def test_refuse_lists_what_exists(manifest: Manifest) -> None:
    with pytest.raises(PreconditionError, match=r"2 namespaces of the backup exist on shop: crm\.calls, shop\.orders;"):
        plan(manifest, full())
    assert plan(manifest, full(), rules=RestoreRules(include=("shop.customers",))).namespaces == 1


def test_a_whole_restore_drops_whole_databases_and_no_others(manifest: Manifest) -> None:
    found = plan(manifest, full(), existing="drop")
    assert found.drop.databases == {"shop", "crm"}
    assert found.dropped == ("crm.calls", "shop.newer", "shop.orders")
    assert any("Left alone: databases theirs" in line for line in found.words)


@pytest.mark.parametrize("rules", [RestoreRules(include=("shop.*",)), RestoreRules(exclude=("crm.calls",))])
def test_a_part_drops_only_its_namespaces(manifest: Manifest, rules: RestoreRules) -> None:
    found = plan(manifest, full(), existing="drop", rules=rules)
    assert (found.drop.databases, found.dropped) == (frozenset(), ("shop.orders",))


def test_a_backup_of_a_part_drops_only_its_namespaces(manifest: Manifest) -> None:
    part = manifest.model_copy(update={"exclude": ("shop.newer",)})
    assert plan(part, full(), existing="drop").dropped == ("crm.calls", "shop.orders")


def test_admin_is_never_dropped_whole(manifest: Manifest) -> None:
    state = TargetState(namespaces={"s0": {("admin", "notes"), ("admin", "others")}})
    found = plan(manifest, state, existing="drop")
    assert "admin" not in found.drop.databases
    assert found.dropped == ("admin.notes",)


def test_another_primary_shard_is_refused_unless_the_database_goes(manifest: Manifest) -> None:
    with pytest.raises(PreconditionError, match="database crm has the primary shard s1 on the target and gets s0"):
        plan(manifest, full(), existing="merge", routing=routing(crm="s0"))
    assert plan(manifest, full(), existing="drop", routing=routing(crm="s0")).dropped


def test_merge_refuses_other_routing(manifest: Manifest) -> None:
    assert plan(manifest, full(), existing="merge").dropped == ()
    state = full()
    state.routed_otherwise = {("shop", "orders")}
    with pytest.raises(PreconditionError, match=r"shop\.orders have other chunks"):
        plan(manifest, state, existing="merge")
    state = full()
    state.routed = set()
    with pytest.raises(PreconditionError, match=r"shop\.orders have other chunks"):
        plan(manifest, state, existing="merge")


def test_nothing_selected_is_refused(manifest: Manifest) -> None:
    with pytest.raises(PreconditionError, match="leave no namespace"):
        plan(manifest, TargetState(), rules=RestoreRules(include=("elsewhere.*",)))


def test_two_namespaces_of_one_new_name_are_refused(manifest: Manifest) -> None:
    rules = RestoreRules(rename={"shop.customers": "shop.orders"})
    with pytest.raises(PreconditionError, match="the same name"):
        plan(manifest, TargetState(), rules=rules, routing=None)
