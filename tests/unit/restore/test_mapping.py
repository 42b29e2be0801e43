"""Components of a set and of a target."""

from __future__ import annotations

import pytest

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.restore.mapping import map_components
from mongo_backup.topology.model import Component, ComponentRole, Topology


def topology(*shards: str, kind: TopologyKind = TopologyKind.SHARDED) -> Topology:
    config = Component(name="config", role=ComponentRole.CONFIG, members=())
    return Topology(
        kind=kind,
        components=(config, *(Component(name=name, role=ComponentRole.SHARD, members=()) for name in shards)),
        server_version="6.0.5",
    )


def names(manifest: Manifest, target: Topology, shard_map: dict[str, str]) -> dict[str, str]:
    return {name: found.name for name, found in map_components(manifest, target, shard_map).items()}


def test_shards_go_where_their_name_is_or_the_map_says(manifest: Manifest) -> None:
    assert names(manifest, topology("s0", "s1", "s2"), {}) == {"config": "config", "s0": "s0", "s1": "s1"}
    assert names(manifest, topology("s0", "s1", "s2"), {"s0": "s1", "s1": "s2"})["s1"] == "s2"


@pytest.mark.parametrize(
    ("shards", "shard_map", "words"),
    [
        (("s0",), {}, "no shard s1"),
        (("s0", "s1"), {"s0": "s1"}, "same one"),
        (("s0", "s1"), {"s9": "s1"}, "shard_map names s9"),
    ],
)
def test_what_has_no_place_is_refused(
    manifest: Manifest, shards: tuple[str, ...], shard_map: dict[str, str], words: str
) -> None:
    with pytest.raises(PreconditionError, match=words):
        map_components(manifest, topology(*shards), shard_map)


def test_another_kind_is_refused(manifest: Manifest) -> None:
    with pytest.raises(PreconditionError, match="is of a sharded deployment and the target is a replica_set one"):
        map_components(manifest, topology(kind=TopologyKind.REPLICA_SET))
