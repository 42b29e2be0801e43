from __future__ import annotations

from typing import Any

import pytest

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.app_binding import AppBinding, TopologyKind
from mongo_backup.topology.check import check
from mongo_backup.topology.model import Component, ComponentRole, Member, Topology


def binding(**spec: Any) -> AppBinding:
    return AppBinding.model_validate(
        {"apiVersion": "mongo-backup/v1", "kind": "AppBinding", "metadata": {"name": "shop"}, "spec": spec}
    )


def component(name: str, role: ComponentRole, *, replica_set: str | None = None) -> Component:
    state = "STANDALONE" if role is ComponentRole.STANDALONE else "PRIMARY"
    return Component(name=name, role=role, replica_set=replica_set, members=(Member(host=f"{name}:1", state=state),))


def found(kind: TopologyKind, *components: Component) -> Topology:
    return Topology(kind=kind, components=components, server_version="6.0.5")


def address(name: str) -> dict[str, Any]:
    return {"replica_set": name, "hosts": [f"{name}:1"]}


ALONE = found(TopologyKind.STANDALONE, component("standalone", ComponentRole.STANDALONE))
SET = found(TopologyKind.REPLICA_SET, component("rs0", ComponentRole.REPLICA_SET, replica_set="rs0"))
SHARD = found(TopologyKind.REPLICA_SET, component("s0", ComponentRole.SHARD, replica_set="s0"))
CONFIG = component("config", ComponentRole.CONFIG, replica_set="cfg")
CLUSTER = found(
    TopologyKind.SHARDED,
    CONFIG,
    component("s0", ComponentRole.SHARD, replica_set="s0"),
    component("s1", ComponentRole.SHARD, replica_set="s1"),
)
SHARDS = {"s0": address("s0"), "s1": address("s1")}

WRONG = [
    ({"topology": "standalone", "hosts": ["a:1"]}, SET, ["declared standalone", "replica_set: {replica_set: rs0"]),
    ({"topology": "replica_set", "replica_set": address("rs0")}, ALONE, ["`topology: standalone`"]),
    ({"topology": "replica_set", "replica_set": address("rs1")}, SET, ["declared rs1", "write `replica_set: rs0`"]),
    ({"topology": "replica_set", "replica_set": address("s0")}, SHARD, ["is shard s0 of a sharded cluster"]),
    (
        {"topology": "replica_set", "replica_set": address("cfg")},
        found(TopologyKind.REPLICA_SET, CONFIG),
        ["is the config server of a sharded cluster"],
    ),
    ({"topology": "sharded", "config_server": address("rs0"), "shards": SHARDS}, SET, ["no config server"]),
    (
        {"topology": "sharded", "config_server": address("wrong"), "shards": {"s0": address("x"), "s9": address("s9")}},
        CLUSTER,
        [
            "config_server.replica_set: declared wrong",
            "add `s1: {replica_set: s1, hosts: [s1:1]}`",
            "s9 is declared, but the cluster has no such shard (it has s0, s1)",
            "shards.s0.replica_set: declared x",
        ],
    ),
]


@pytest.mark.parametrize(("spec", "topology", "told"), WRONG)
def test_a_difference_says_what_to_change(spec: dict[str, Any], topology: Topology, told: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="AppBinding shop does not fit") as error:
        check(binding(**spec), topology)
    for text in told:
        assert text in error.value.message


@pytest.mark.parametrize(
    ("spec", "topology"),
    [
        ({"topology": "standalone", "hosts": ["a:1"]}, ALONE),
        ({"topology": "replica_set", "replica_set": address("rs0")}, SET),
        ({"topology": "sharded", "config_server": address("cfg"), "shards": SHARDS}, CLUSTER),
    ],
)
def test_what_fits_passes(spec: dict[str, Any], topology: Topology) -> None:
    check(binding(**spec), topology)
