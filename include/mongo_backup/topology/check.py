"""Compare what was found with what the AppBinding declares. Each difference says exactly what to change."""

from __future__ import annotations

from collections.abc import Iterator

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.app_binding import AppBinding, ReplicaSetAddress, TopologyKind
from mongo_backup.topology.model import Component, ComponentRole, Topology


def check(binding: AppBinding, topology: Topology) -> None:
    """Refuse a deployment that is not what is declared.

    :raises ConfigurationError: with every difference, one line each.
    """
    if problems := list(differences(binding, topology)):
        head = f"AppBinding {binding.name} does not fit what was found:"
        raise ConfigurationError("\n- ".join([head, *problems]) if len(problems) > 1 else f"{head} {problems[0]}")


def differences(binding: AppBinding, topology: Topology) -> Iterator[str]:
    """Yield each difference in words, with the change that mends it."""
    declared = binding.spec.topology
    first = topology.components[0]
    if declared is not TopologyKind.SHARDED:
        yield from _one_component(binding, topology, first)
    elif topology.kind is not TopologyKind.SHARDED:
        yield (
            f"config_server: {_hosts(first)} is {_is(first)}, no config server: give the members of the cluster's"
            " config server (on a mongos: db.adminCommand('getShardMap').map.config)"
        )
    else:
        yield from _sharded(binding, topology)


def _one_component(binding: AppBinding, topology: Topology, found: Component) -> Iterator[str]:
    spec = binding.spec
    if found.role in (ComponentRole.CONFIG, ComponentRole.SHARD):
        part = "the config server" if found.role is ComponentRole.CONFIG else f"shard {found.name}"
        yield (
            f"topology: {_hosts(found)} is {part} of a sharded cluster; a backup of one part alone is useless: declare"
            " `topology: sharded` with its config server and all shards (mongo-backup discover writes it)"
        )
    elif spec.topology is not topology.kind:
        wanted = (
            f"`topology: replica_set` with `replica_set: {{replica_set: {found.replica_set}, hosts: [...]}}`"
            if topology.kind is TopologyKind.REPLICA_SET
            else f"`topology: standalone` with `hosts: [{found.members[0].host}]`"
        )
        yield f"topology: declared {spec.topology}, but {_hosts(found)} is {_is(found)}: write {wanted}"
    elif spec.replica_set is not None:
        yield from _set_name("replica_set", spec.replica_set, found)


def _sharded(binding: AppBinding, topology: Topology) -> Iterator[str]:
    spec = binding.spec
    found = {component.name: component for component in topology.components}
    config = found.pop("config")
    if spec.config_server is not None:
        yield from _set_name("config_server", spec.config_server, config)
    for name in sorted(found.keys() - spec.shards.keys()):
        shard = found[name]
        hosts = ", ".join(member.host for member in shard.members if not member.arbiter)
        entry = f"{name}: {{replica_set: {shard.replica_set}, hosts: [{hosts}]}}"
        yield f"shards: the cluster has a shard {name} that is not declared: add `{entry}`"
    for name in sorted(spec.shards.keys() - found.keys()):
        there = ", ".join(sorted(found)) or "none"
        yield (
            f"shards: {name} is declared, but the cluster has no such shard (it has {there}):"
            " remove it or correct its name"
        )
    for name in sorted(spec.shards.keys() & found.keys()):
        yield from _set_name(f"shards.{name}", spec.shards[name], found[name])


def _set_name(field: str, declared: ReplicaSetAddress, found: Component) -> Iterator[str]:
    if declared.replica_set != found.replica_set:
        yield (
            f"{field}.replica_set: declared {declared.replica_set}, but {_hosts(found)} is replica set"
            f" {found.replica_set}: write `replica_set: {found.replica_set}` or correct the hosts"
        )


def _hosts(component: Component) -> str:
    return ", ".join(member.host for member in component.members)


def _is(component: Component) -> str:
    if component.role is ComponentRole.STANDALONE:
        return "a standalone server"
    return f"replica set {component.replica_set}"
