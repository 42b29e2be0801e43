"""Discovery and check against real deployments, and an AppBinding from a connection string."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.control.support import binding, connect

from mongo_backup.connection import Connector
from mongo_backup.errors import ConfigurationError, TransientError
from mongo_backup.objects.app_binding import AppBinding, TopologyKind
from mongo_backup.topology import discover as discovering
from mongo_backup.topology import replica_set as replica_sets
from mongo_backup.topology.binding import binding_from_uri
from mongo_backup.topology.check import check
from mongo_backup.topology.discover import discover
from mongo_backup.topology.model import ComponentRole
from sandbox.cluster import ShardedCluster
from sandbox.faults.proxy import Network, Proxy, Tap
from sandbox.mongos_standin import MongosStandIn
from sandbox.objects import credentials
from sandbox.ports import lease_port
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.users import User

pytestmark = pytest.mark.integration


def test_a_sharded_cluster_is_found_and_fits(sharded_cluster: ShardedCluster, cluster: Connector) -> None:
    topology = discover(cluster)
    check(binding(sharded_cluster), topology)
    assert topology.kind is TopologyKind.SHARDED
    assert [component.name for component in topology.components] == ["config", "shard0", "shard1"]
    assert [component.role for component in topology.components][:2] == [ComponentRole.CONFIG, ComponentRole.SHARD]
    assert (topology.server_version[:2], topology.fcv) == ("6.", "6.0")
    for component in topology.components:
        assert component.primary is not None
        assert component.primary.host == sharded_cluster.primary(component.name)
        assert {member.host for member in component.members} == set(sharded_cluster.hosts(component.name))
        assert all(
            member.healthy and member.reachable and member.lag_seconds is not None for member in component.members
        )


def test_a_replica_set_and_a_standalone_are_found(replica_set: ReplicaSet, standalone: Standalone) -> None:
    for deployment, kind in ((replica_set, TopologyKind.REPLICA_SET), (standalone, TopologyKind.STANDALONE)):
        with connect(deployment) as connector:
            topology = discover(connector)
            check(connector.binding, topology)
            assert topology.kind is kind
            assert [member.host for member in topology.components[0].members] == deployment.hosts()


def test_a_wrong_topology_says_what_to_change(
    sharded_cluster: ShardedCluster, replica_set: ReplicaSet, standalone: Standalone
) -> None:
    spec = sharded_cluster.app_binding()["spec"]
    shards, config, rs0 = spec["shards"], spec["config_server"], replica_set.app_binding()["spec"]["replica_set"]
    only = {"config_server": None, "shards": None}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (sharded_cluster, {"shards": {"shard0": shards["shard0"]}}, r"add `shard1: \{replica_set: shard1"),
        (sharded_cluster, {"shards": {**shards, "shard7": shards["shard0"]}}, "shard7 is declared, but"),
        (sharded_cluster, {"shards": {**shards, "shard0": shards["shard1"]}}, "belongs to shard1"),
        (sharded_cluster, {"config_server": shards["shard0"]}, "no config server"),
        (sharded_cluster, {"config_server": {**config, "replica_set": "cfg"}}, "write `replica_set: config`"),
        (sharded_cluster, {"topology": "replica_set", "replica_set": shards["shard0"], **only}, "is shard shard0 of"),
        (sharded_cluster, {"topology": "replica_set", "replica_set": config, **only}, "is the config server of"),
        (sharded_cluster, {"mongos": [sharded_cluster.hosts("config")[0]]}, "is no mongos"),
        (replica_set, {"topology": "standalone", "hosts": rs0["hosts"][:1], "replica_set": None}, "replica_set: rs0"),
        (replica_set, {"replica_set": {**rs0, "replica_set": "rs1"}}, "write `replica_set: rs0`"),
        (
            standalone,
            {"topology": "replica_set", "replica_set": {**rs0, "hosts": standalone.hosts()}, "hosts": None},
            "`topology: standalone`",
        ),
    ]
    for deployment, change, told in cases:
        with connect(deployment, **change) as connector, pytest.raises(ConfigurationError, match=told):
            check(connector.binding, discover(connector))


def test_a_config_server_that_is_a_shard_too_is_refused(cluster: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its data would be taken for routing tables. The server is older: its list of shards is made up here."""
    host = cluster.binding.spec.config_server.hosts[0]  # type: ignore[union-attr]
    shards = list(cluster.member(host).config.shards.find())
    monkeypatch.setattr(discovering, "_read_shards", lambda *_: [*shards, {**shards[0], "_id": "config"}])
    with pytest.raises(ConfigurationError, match="dedicated config server"):
        discover(cluster)


def test_a_wrong_password_is_named_and_not_told(replica_set: ReplicaSet) -> None:
    wrong = User("mongo-backup", "not the p@ss:w/ %?#&'\"")
    uri = replica_set.uri(user=wrong)
    with pytest.raises(ConfigurationError, match="refused the user name or password") as error:
        binding_from_uri(uri, "shop")
    assert "p@ss" not in error.value.message


def test_no_credentials_where_some_are_needed(replica_set: ReplicaSet) -> None:
    with connect(replica_set, credentials=None) as connector, pytest.raises(ConfigurationError, match="wants a login"):
        discover(connector)


def test_nothing_that_answers(replica_set: ReplicaSet) -> None:
    with lease_port() as port:
        address = {"replica_set": "rs0", "hosts": [port.address]}
        with connect(replica_set, replica_set=address) as connector, pytest.raises(TransientError, match=port.address):
            discover(connector)
        members = [port.address, *replica_set.hosts()[:1]]
        with connect(replica_set, replica_set={"replica_set": "rs0", "hosts": members}) as connector:
            assert len(discover(connector).components[0].members) == 3, "one seed that answers is enough"


def test_a_server_that_is_silent_for_a_while_is_asked_again(
    standalone: Standalone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first answer is held for good; the time limits are a second each, not ten."""
    monkeypatch.setattr(replica_sets, "_ANSWER_SECONDS", 1.0)
    with Network() as network:
        [host] = standalone.hosts()
        proxy = Proxy(network, name=host, target=host)
        proxy.tap = tap = Tap(b"hello|isMaster|ismaster", side="reply")
        spec = {**standalone.app_binding()["spec"], "hosts": [proxy.address]}
        slow = AppBinding.model_validate({**standalone.app_binding(), "spec": spec})
        with Connector(binding=slow, credentials=credentials(standalone), timeout_seconds=1) as connector:
            assert discover(connector).kind is TopologyKind.STANDALONE
        assert tap.reached.is_set()
        tap.let_go()
        proxy.close()


@pytest.mark.parametrize("component", ["config", "shard0", "shard1"])
def test_any_member_leads_to_the_whole_cluster(sharded_cluster: ShardedCluster, component: str) -> None:
    uri = sharded_cluster.uri(host=sharded_cluster.secondaries(component)[0], user="backup")
    found = binding_from_uri(uri, "shop", connection="shop-mongo")
    wanted = binding(sharded_cluster).spec
    assert found.spec.config_server is not None
    assert wanted.config_server is not None
    assert set(found.spec.config_server.hosts) == set(wanted.config_server.hosts)
    assert {name: set(each.hosts) for name, each in found.spec.shards.items()} == {
        name: set(each.hosts) for name, each in wanted.shards.items()
    }
    assert found.spec.credentials is not None
    assert found.spec.credentials.connection == "shop-mongo"
    assert "p@ss" not in found.model_dump_json()


def test_a_replica_set_and_a_standalone_become_bindings(replica_set: ReplicaSet, standalone: Standalone) -> None:
    found = binding_from_uri(replica_set.uri(user="backup"), "shop").spec
    assert found.replica_set is not None
    assert (found.replica_set.replica_set, set(found.replica_set.hosts)) == ("rs0", set(replica_set.hosts()))
    assert binding_from_uri(standalone.uri(user="backup"), "shop").spec.hosts == tuple(standalone.hosts())


def test_a_router_leads_to_the_whole_cluster(sharded_cluster: ShardedCluster) -> None:
    with MongosStandIn(sharded_cluster.hosts("config")) as router:
        login = sharded_cluster.uri(component="config", user="backup").partition("@")[0]
        found = binding_from_uri(f"{login}@{router.host}/?authSource=admin", "shop")
        assert found.spec.mongos == (router.host,)
        assert set(found.spec.shards) == {"shard0", "shard1"}
        assert "listShards" in router.commands
        with (
            connect(
                sharded_cluster,
                topology="replica_set",
                config_server=None,
                shards=None,
                replica_set={"replica_set": "x", "hosts": [router.host]},
            ) as connector,
            pytest.raises(ConfigurationError, match="is a mongos"),
        ):
            discover(connector)
        document = sharded_cluster.app_binding()
        document["spec"]["mongos"] = [router.host]
        with Connector(
            binding=type(found).model_validate(document), credentials=credentials(sharded_cluster)
        ) as connector:
            topology = discover(connector)
            check(connector.binding, topology)
            assert topology.mongos == (router.host,)
