"""A whole sharded cluster, destroyed in several ways and restored: routing, UUIDs, users and every document."""

from __future__ import annotations

from typing import Any

import pytest
from bson import MaxKey

from mongo_backup.agent.contract import BalancerResult, FinishResult, ReleaseResult
from mongo_backup.agent.restore_contract import DropResult, IndexesResult, MetadataResult, PlanResult, VerifyResult
from mongo_backup.balancer import Balancer
from mongo_backup.connection import Connector
from mongo_backup.errors import PreconditionError, VerificationError
from mongo_backup.objects.app_binding import AppBinding
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.inline_verify import InlineVerification
from sandbox.mongos_standin import MongosStandIn
from sandbox.seed import APPLICATION_USER, ORDERS
from sandbox.sharding import Chunk, chunks, create_database, move_range, owner, primary_shard

Bench = Any
"""`Workbench` of conftest.py."""


def orders_on(cluster: ShardedCluster, shard: str) -> list[int]:
    found = cluster.admin_client(shard).shop.orders.find({}, {"number": 1})
    return sorted(document["number"] for document in found)


def all_orders(cluster: ShardedCluster) -> list[int]:
    return sorted(number for shard in cluster.shard_names for number in orders_on(cluster, shard))


def owned_orders(cluster: ShardedCluster) -> list[int]:
    """As a router counts: on each shard what it owns."""
    ranges = chunks(cluster, ORDERS)
    return sorted(
        number
        for shard in cluster.shard_names
        for number in orders_on(cluster, shard)
        if owner(ranges, "number", number) == shard
    )


def ranges(cluster: ShardedCluster) -> list[tuple[Any, Any, str]]:
    return [(chunk.low["number"], chunk.high["number"], chunk.shard) for chunk in chunks(cluster, ORDERS)]


def assert_chunks_move(cluster: ShardedCluster) -> None:
    """Move a range to the other shard: no document is lost or doubled."""
    before = owned_orders(cluster)
    first: Chunk = chunks(cluster, ORDERS)[0]
    other = next(name for name in cluster.shard_names if name != first.shard)
    high = {"number": 100} if isinstance(first.high["number"], MaxKey) or first.high["number"] > 100 else first.high
    move_range(cluster, ORDERS, low=first.low, high=high, to_shard=other)
    assert owner(chunks(cluster, ORDERS), "number", 50) == other
    assert owned_orders(cluster) == before
    assert set(range(100)) <= set(orders_on(cluster, other))


def state_of(cluster: ShardedCluster) -> dict[str, Any]:
    """Counts everywhere, and routing."""
    found: dict[str, Any] = {}
    for name in cluster.shard_names:
        client = cluster.admin_client(name)
        for db in sorted({"shop", "crm", "telemetry"} & set(client.list_database_names())):
            for each in client[db].list_collections(filter={"type": "collection"}):
                found[f"{name} {db}.{each['name']}"] = client[db][each["name"]].count_documents({})
    config = cluster.admin_client(CONFIG).config
    found["routing"] = sorted(map(str, [*config.collections.find(), *config.chunks.find(), *config.databases.find()]))
    return found


def balancer_mode(bench: Bench) -> str:
    with Connector(binding=bench.objects.target, credentials=bench.credentials, restore=True) as connector:
        return Balancer(connector).status().mode


@pytest.fixture
def restored(shop_cluster: Bench) -> Any:
    """The cluster as a restore leaves it: a seeded one has orphans, and an earlier test may have changed it."""
    look = shop_cluster.prepared()
    look.step("disable_balancer", BalancerResult)
    try:
        look.step("verify_restore", VerifyResult)
        different = False
    except VerificationError:
        different = True
    look.step("finish", FinishResult)
    if different:
        shop_cluster.restore(existing="drop")
    return shop_cluster


def test_the_set_is_verified_in_a_throw_away_server(shop_cluster: Bench) -> None:
    """Shard by shard; and with checks all shards laid together, so that they are asked as a router would be."""
    in_turn = InlineVerification(shop_cluster.objects, shop_cluster.credentials).run()
    check = {"name": "orders of all shards", "namespace": ORDERS, "count": 400}
    together = InlineVerification(shop_cluster.objects, shop_cluster.credentials, {"checks": [check]}).run()
    assert together.checks == 1
    assert together.documents == in_turn.documents > 900
    assert together.namespaces < in_turn.namespaces  # sharded collections are counted once
    assert in_turn.digests >= in_turn.namespaces + 6  # the config server's routing is compared too
    assert in_turn.cluster_time is not None


def test_refuse_touches_nothing(shop_cluster: Bench) -> None:
    cluster = shop_cluster.deployment
    before = state_of(cluster)
    with pytest.raises(PreconditionError, match=r"shop\.orders.*nothing was touched"):
        shop_cluster.restore()
    assert state_of(cluster) == before
    assert balancer_mode(shop_cluster) == "full"


@pytest.mark.parametrize(
    ("shard_map", "words"),
    [
        ({"shard0": "elsewhere"}, "no shard elsewhere"),
        ({"shard7": "shard0"}, "shard_map names shard7"),
        ({"shard0": "shard1"}, "same one"),
    ],
)
def test_a_wrong_shard_map_is_refused(shop_cluster: Bench, shard_map: dict[str, str], words: str) -> None:
    before = state_of(shop_cluster.deployment)
    with pytest.raises(PreconditionError, match=words):
        shop_cluster.restore(existing="drop", shard_map=shard_map)
    assert state_of(shop_cluster.deployment) == before


def test_a_changed_cluster_becomes_what_it_was(shop_cluster: Bench) -> None:
    cluster: ShardedCluster = shop_cluster.deployment
    before = ranges(cluster)
    numbers = owned_orders(cluster)
    # chunks in other places (with clean-ups pending), other documents, other collections, data that routing ignores
    move_range(cluster, ORDERS, low={"number": 0}, high={"number": 50}, to_shard="shard1")
    shop = cluster.admin_client("shard0").shop
    shop.orders.delete_many({"number": {"$lt": 70}})
    shop.customers.drop()
    shop.newer.insert_one({"_id": "not in the backup"})
    cluster.admin_client("shard1").shop.leftover.insert_one({"_id": "of a failed restore"})
    create_database(cluster, "neighbour", primary_shard="shard1")
    cluster.admin_client("shard1").neighbour.theirs.insert_one({"_id": "stays"})

    verified = shop_cluster.restore(existing="drop")

    assert verified.uuids == 3
    assert verified.digests == verified.namespaces
    assert ranges(cluster) == before
    assert all_orders(cluster) == numbers  # also no orphans
    for shard in cluster.shard_names:
        assert {"newer", "leftover"}.isdisjoint(cluster.admin_client(shard).shop.list_collection_names())
        assert cluster.admin_client(shard).config.rangeDeletions.count_documents({"nss": ORDERS}) == 0
    assert cluster.admin_client("shard1").neighbour.theirs.count_documents({}) == 1
    assert balancer_mode(shop_cluster) == "full"
    assert_chunks_move(cluster)


def test_one_collection_is_restored_and_its_neighbours_stay(shop_cluster: Bench) -> None:
    cluster: ShardedCluster = shop_cluster.deployment
    shop = cluster.admin_client("shard0").shop
    shop.notes.insert_one({"_id": "newer"})
    shop.orders.delete_many({})
    verified = shop_cluster.restore(existing="drop", include=["shop.orders", "telemetry.*"])
    assert verified.uuids == 2
    assert all_orders(cluster) == list(range(400))
    assert shop.notes.find_one({"_id": "newer"})


def test_merge_needs_the_same_routing(shop_cluster: Bench) -> None:
    cluster: ShardedCluster = shop_cluster.deployment
    cluster.admin_client("shard0").shop.orders.delete_many({"number": {"$lt": 30}})
    shop_cluster.restore(existing="merge", include=["shop.orders", "crm.*"])
    assert all_orders(cluster) == owned_orders(cluster) == list(range(400))
    assert_chunks_move(cluster)
    with pytest.raises(PreconditionError, match=r"merge cannot bring together.*shop\.orders"):
        shop_cluster.restore(existing="merge")


def test_a_wiped_cluster_becomes_what_it_was(shop_cluster: Bench) -> None:
    cluster: ShardedCluster = shop_cluster.deployment
    cluster.wipe_and_restart()

    verified = shop_cluster.restore(users="replace")

    assert verified.uuids == 3
    for component in cluster.components.values():
        component.forget_clients()  # who is logged in must do so again: the account was replaced
    application = cluster.client(component=CONFIG, user=APPLICATION_USER, authSource="shop")
    assert application.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"][0]["user"] == "shop-app"
    for shard in cluster.shard_names:
        cluster.client(component=shard, user="backup").admin.command("ping")
    [view] = cluster.admin_client("shard0").shop.list_collections(filter={"name": "open_orders"})
    assert view["options"] == {"viewOn": "orders", "pipeline": [{"$match": {"state": "open"}}]}
    assert primary_shard(cluster, "telemetry") == "shard1"
    assert cluster.admin_client("shard1").telemetry.readings.count_documents({}) == 100
    assert_chunks_move(cluster)


def test_shards_may_change_places(shop_cluster: Bench) -> None:
    cluster: ShardedCluster = shop_cluster.deployment
    verified = shop_cluster.restore(existing="drop", shard_map={"shard0": "shard1", "shard1": "shard0"})
    assert verified.uuids == 3
    assert primary_shard(cluster, "shop") == "shard1"
    assert cluster.admin_client("shard1").shop.customers.count_documents({}) > 0
    assert all_orders(cluster) == owned_orders(cluster) == list(range(400))
    assert_chunks_move(cluster)


@pytest.mark.long
def test_steps_may_be_tried_again(shop_cluster: Bench) -> None:
    restore = shop_cluster.prepared(existing="drop")
    restore.plan = restore.step("plan_restore", PlanResult)
    restore.step("disable_balancer", BalancerResult)
    restore.step("drop_existing", DropResult)
    restore.restore_one("shard0")
    with pytest.raises(PreconditionError, match="appeared"):
        restore.restore_one("shard0")
    restore.try_number = 2
    for component in ("config", "shard0", "shard1"):
        restore.restore_one(component)
    for _ in range(2):
        restore.step("restore_metadata", MetadataResult)
        restore.step("build_indexes", IndexesResult)
        assert restore.step("verify_restore", VerifyResult).uuids == 3


def test_nothing_is_written_while_the_balancer_may_move_chunks(shop_cluster: Bench) -> None:
    """As after "Clear only failed": the run's own teardown has put the balancer back."""
    before = all_orders(shop_cluster.deployment)
    restore = shop_cluster.prepared(existing="drop")
    restore.plan = restore.step("plan_restore", PlanResult)
    restore.step("disable_balancer", BalancerResult)
    restore.step("enable_balancer", ReleaseResult)
    for step in ("drop_existing", "restore_metadata", "build_indexes", "verify_restore"):
        with pytest.raises(PreconditionError, match=r"balancer is not off but full.*clear `disable_balancer` and all"):
            restore.step(step, DropResult)
    with pytest.raises(PreconditionError, match="balancer is not off"):
        restore.restore_one("shard0")
    assert all_orders(shop_cluster.deployment) == before


def test_finish_puts_back_what_a_dead_run_left(shop_cluster: Bench) -> None:
    restore = shop_cluster.prepared(existing="drop")
    restore.plan = restore.step("plan_restore", PlanResult)
    assert restore.step("disable_balancer", BalancerResult).now == "off"
    assert balancer_mode(shop_cluster) == "off"
    assert restore.step("finish", FinishResult).swept == ("put the balancer back from off to full",)
    assert balancer_mode(shop_cluster) == "full"
    assert restore.step("finish", FinishResult).swept == ()


def test_routers_are_told(restored: Bench) -> None:
    """By a stand-in for mongos, which relays `flushRouterConfig` to the config server."""
    with MongosStandIn(restored.deployment.hosts(CONFIG)) as router:
        binding = restored.deployment.app_binding()
        binding["spec"]["mongos"] = [router.host]
        restore = restored.prepared(existing="drop")
        restore.target = AppBinding.model_validate(binding)
        restore.plan = restore.step("plan_restore", PlanResult)
        restore.step("disable_balancer", BalancerResult)
        assert restore.step("restore_metadata", MetadataResult).collections == 3
        assert restore.step("verify_restore", VerifyResult).uuids == 3


def test_the_comparison_finds_what_differs(restored: Bench) -> None:
    cluster: ShardedCluster = restored.deployment
    restore = restored.prepared(existing="drop")
    restore.step("disable_balancer", BalancerResult)
    shop = cluster.admin_client("shard0").shop
    email = shop.customers.find_one_and_update({"_id": 3}, {"$set": {"email": "changed@example.org"}})["email"]
    order = cluster.admin_client("shard1").shop.orders.find_one_and_delete({"number": 399})
    with pytest.raises(VerificationError) as documents:
        restore.step("verify_restore", VerifyResult)
    assert "shard0 shop.customers: digest" in documents.value.message
    assert "shard1 shop.orders: 199 documents instead of 200" in documents.value.message

    shop.customers.update_one({"_id": 3}, {"$set": {"email": email}})
    cluster.admin_client("shard1").shop.orders.insert_one(order)
    shop.customers.drop_index("email_1")
    shop.command("collMod", "customers", validationAction="warn")
    config = cluster.admin_client(CONFIG).config
    uuid = config.collections.find_one({"_id": "shop.events"})["uuid"]
    config.collections.update_one({"_id": ORDERS}, {"$set": {"uuid": uuid}})
    with pytest.raises(VerificationError) as catalog:
        restore.step("verify_restore", VerifyResult)
    for words in ('"validationAction": "warn"', "without the indexes email_1", "shop.orders: routing has"):
        assert words in catalog.value.message
