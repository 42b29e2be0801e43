from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import OperationFailure

from mongo_backup.objects.app_binding import AppBinding
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.component import Member
from sandbox.deployment import Deployment
from sandbox.seed import APPLICATION_USER, EVENTS, METER_BUCKETS, ORDERS, Seeded
from sandbox.sharding import chunks, create_database, hashed, insert_routed, move_range, primary_shard, shard_collection
from sandbox.users import JOURNAL
from sandbox.writers import FIRST, SECOND, STEPS, ChainWriter, LoadWriter, read_chain

pytestmark = pytest.mark.integration

UNAUTHORIZED, AUTHENTICATION_FAILED = 13, 18
Cluster = tuple[ShardedCluster, Seeded]


def count(deployment: Deployment, component: str, namespace: str) -> int:
    database, _, collection = namespace.partition(".")
    return deployment.admin_client(component)[database][collection].count_documents({})


def test_every_component_has_a_primary_and_two_secondaries(sharded_cluster: ShardedCluster) -> None:
    assert list(sharded_cluster.components) == [CONFIG, "shard0", "shard1"]
    for name in sharded_cluster.components:
        assert sharded_cluster.primary(name) == sharded_cluster.hosts(name)[0]
        assert sharded_cluster.secondaries(name) == sharded_cluster.hosts(name)[1:]
    shards = sharded_cluster.admin_client(CONFIG).config.shards.distinct("_id")
    assert shards == ["shard0", "shard1"]


def test_nobody_gets_in_without_or_with_a_wrong_password(sharded_cluster: ShardedCluster) -> None:
    assert sharded_cluster.credentials
    wrong = type(sharded_cluster.credentials.backup)("mongo-backup", "wrong")
    for host in sharded_cluster.hosts():
        with pytest.raises(OperationFailure) as refused:
            sharded_cluster.client(host=host, user=None).admin.command("listDatabases")
        assert refused.value.code == UNAUTHORIZED
    with pytest.raises(OperationFailure) as refused:
        sharded_cluster.client(component="shard0", user=wrong, appname="wrong").admin.command("ping")
    assert refused.value.code == AUTHENTICATION_FAILED


def test_the_backup_user_can_do_what_a_backup_does_and_no_more(seeded_cluster: Cluster) -> None:
    cluster, _ = seeded_cluster
    config = cluster.client(component=CONFIG, user="backup")
    assert config.admin.command("_configsvrBalancerStatus", 1)["mode"]
    config.admin[JOURNAL].insert_one({"_id": "test"})
    config.admin[JOURNAL].delete_one({"_id": "test"})
    secondary = cluster.client(host=cluster.secondaries("shard0")[0], user="backup")
    secondary.admin.command("fsync", lock=True)
    assert secondary.admin.command("fsyncUnlock")["lockCount"] == 0
    shard = cluster.client(component="shard0", user="backup")
    assert shard.admin.command("appendOplogNote", data={"test": 1})["ok"]
    for forbidden in (
        lambda: shard.shop.orders.insert_one({"number": -1}),
        lambda: shard.shop.drop_collection("orders"),
        lambda: shard.admin.command("applyOps", []),
    ):
        with pytest.raises(OperationFailure) as refused:
            forbidden()
        assert refused.value.code == UNAUTHORIZED


def test_the_restore_user_may_apply_operations(sharded_cluster: ShardedCluster) -> None:
    assert sharded_cluster.client(component="shard1", user="restore").admin.command("applyOps", [])["ok"]


def test_the_application_user_lives_on_the_config_server(seeded_cluster: Cluster) -> None:
    cluster, _ = seeded_cluster
    client = cluster.client(component=CONFIG, user=APPLICATION_USER, authSource="shop")
    assert client.shop.command("connectionStatus")["authInfo"]["authenticatedUserRoles"]


def test_chunks_lie_on_both_shards_and_the_donor_keeps_orphans(seeded_cluster: Cluster) -> None:
    cluster, seeded = seeded_cluster
    for namespace in (ORDERS, EVENTS):
        assert {chunk.shard for chunk in chunks(cluster, namespace)} == {"shard0", "shard1"}
    orders = seeded.counts[ORDERS]
    assert seeded.orphans == orders // 2
    assert count(cluster, "shard0", ORDERS) == orders, "the donor holds what it gave away"
    assert count(cluster, "shard1", ORDERS) == orders // 2
    left = cluster.admin_client("shard0").config.rangeDeletions.find_one({"nss": ORDERS})
    assert left
    assert left["numOrphanDocs"] == seeded.orphans
    assert count(cluster, "shard0", EVENTS) + count(cluster, "shard1", EVENTS) == seeded.counts[EVENTS]


def test_every_event_lies_on_the_shard_that_owns_its_hash(seeded_cluster: Cluster) -> None:
    cluster, _ = seeded_cluster
    for shard in cluster.shard_names:
        own = [chunk for chunk in chunks(cluster, EVENTS) if chunk.shard == shard]
        events = cluster.admin_client(shard).shop
        command: dict[str, Any] = {"find": "events", "hint": {"device": "hashed"}, "returnKey": True, "batchSize": 5000}
        keys = {each["device"] for each in events.command(command)["cursor"]["firstBatch"]}
        assert keys == {hashed(each) for each in events.events.distinct("device")}, "our hash is the server's"
        low, high = own[0].low["device"], own[-1].high["device"]
        assert all(not isinstance(low, int) or low <= key for key in keys)
        assert all(not isinstance(high, int) or key < high for key in keys)


def test_unsharded_databases_have_different_primary_shards(seeded_cluster: Cluster) -> None:
    cluster, seeded = seeded_cluster
    assert primary_shard(cluster, "shop") == "shard0"
    assert primary_shard(cluster, "crm") == "shard1"
    for namespace in ("crm.contacts", "crm.notes", "telemetry.readings"):
        assert count(cluster, "shard1", namespace) == seeded.counts[namespace]
    for namespace in ("shop.customers", "shop.audit", "shop.kinds", "shop.sessions"):
        assert count(cluster, "shard0", namespace) == seeded.counts[namespace]
    assert 0 < count(cluster, "shard0", "shop.debtors") < seeded.counts["shop.customers"]


def test_a_sharded_time_series_has_buckets_on_both_shards(seeded_cluster: Cluster) -> None:
    cluster, _ = seeded_cluster
    assert [chunk.shard for chunk in chunks(cluster, METER_BUCKETS)] == ["shard1", "shard0"]
    assert count(cluster, "shard0", METER_BUCKETS) == 5
    assert count(cluster, "shard1", METER_BUCKETS) == 10, "with the orphans"


def test_a_shard_may_have_an_arbiter() -> None:
    members = [Member(), Member(), Member(arbiter=True)]
    with ShardedCluster(shards=1, members=members, config_members=1) as cluster:
        assert cluster.admin_client(CONFIG).config.shards.distinct("_id") == ["shard0"]
        assert len(cluster.secondaries("shard0")) == 1


def test_a_chunk_can_be_moved(sharded_cluster: ShardedCluster) -> None:
    create_database(sharded_cluster, "moves", primary_shard="shard1")
    shard_collection(sharded_cluster, "moves.items", {"n": 1})
    insert_routed(sharded_cluster, "moves.items", ({"n": n} for n in range(100)), field="n")
    move_range(sharded_cluster, "moves.items", low={"n": 20}, high={"n": 50}, to_shard="shard0")
    assert [chunk.shard for chunk in chunks(sharded_cluster, "moves.items")] == ["shard1", "shard0", "shard1"]
    assert count(sharded_cluster, "shard0", "moves.items") == 30


def test_the_app_binding_is_one_the_product_reads(sharded_cluster: ShardedCluster) -> None:
    binding = AppBinding.model_validate(sharded_cluster.app_binding("here"))
    assert binding.spec.shards["shard1"].hosts == tuple(sharded_cluster.hosts("shard1"))
    assert binding.spec.credentials
    assert binding.spec.credentials.connection in sharded_cluster.connections()


def read_at(cluster: ShardedCluster, name: str, shard: str, time: Any) -> int:
    command = {
        "aggregate": STEPS,
        "pipeline": [{"$count": "n"}],
        "cursor": {},
        "readConcern": {"level": "snapshot", "atClusterTime": time},
    }
    return int(cluster.admin_client(shard)[name].command(command)["cursor"]["firstBatch"][0]["n"])


def test_the_chain_holds_at_any_one_cluster_time_and_load_goes_on(sharded_cluster: ShardedCluster) -> None:
    seen = set()
    with ChainWriter(sharded_cluster) as chain, LoadWriter(sharded_cluster) as load:
        for _ in range(15):
            chain.wait_for(3)
            hello = sharded_cluster.admin_client("shard0").admin.command("hello")
            time = hello["$clusterTime"]["clusterTime"]
            chain.wait_for(2)  # now both shards are past it
            first = read_at(sharded_cluster, FIRST, "shard0", time)
            second = read_at(sharded_cluster, SECOND, "shard1", time)
            assert first - second in (0, 1)
            seen.add(first)
        load.wait_for(3)
    assert len(seen) == 15, "each read was another state"
    state = read_chain(sharded_cluster)
    state.check()
    assert len(state.second) == chain.written


def test_wipe_and_restart_gives_an_empty_cluster_of_the_same_shape() -> None:
    with ShardedCluster(shards=1, members=1, config_members=1) as cluster:
        hosts = cluster.hosts()
        cluster.admin_client("shard0").test.items.insert_one({})
        old = cluster.admin_client(CONFIG).config.version.find_one()
        cluster.wipe_and_restart()
        assert cluster.hosts() == hosts
        assert cluster.admin_client("shard0").list_database_names() == ["admin", "config", "local"]
        assert cluster.client(component=CONFIG, user="backup").config.shards.distinct("_id") == ["shard0"]
        new = cluster.admin_client(CONFIG).config.version.find_one()
        assert old
        assert new
        assert old["clusterId"] != new["clusterId"]
        assert cluster.workspace.path.exists()
    assert not cluster.workspace.path.exists()
