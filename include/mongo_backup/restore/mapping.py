"""Which component of a set goes into which component of the target."""

from __future__ import annotations

from collections.abc import Mapping

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.topology.model import Component, ComponentRole, Topology


def map_components(
    manifest: Manifest, topology: Topology, shard_map: Mapping[str, str] | None = None
) -> dict[str, Component]:
    """Return the target's component for each component of the set.

    :param shard_map: shards of the set whose name on the target is another.
    :raises PreconditionError: another kind of topology, or a shard that has no counterpart.
    """
    shard_map = shard_map or {}
    sharded = manifest.topology is TopologyKind.SHARDED
    if sharded != (topology.kind is TopologyKind.SHARDED):
        raise PreconditionError(
            f"set {manifest.set_id} is of a {manifest.topology} deployment and the target is a {topology.kind} one:"
            " only standalone and replica set go into each other"
        )
    if not sharded:
        if shard_map:
            raise PreconditionError("shard_map is given, but the set has no shards: leave it empty")
        return {manifest.components[0].name: topology.components[0]}
    return _shards(manifest, topology, shard_map)


def _shards(manifest: Manifest, topology: Topology, shard_map: Mapping[str, str]) -> dict[str, Component]:
    there = {component.name: component for component in topology.components}
    names = [record.name for record in manifest.components if record.role is ComponentRole.SHARD]
    if unknown := sorted(shard_map.keys() - set(names)):
        raise PreconditionError(f"shard_map names {', '.join(unknown)}, but the set has the shards {', '.join(names)}")
    wanted = {name: shard_map.get(name, name) for name in names}
    shards = sorted(name for name, component in there.items() if component.role is ComponentRole.SHARD)
    if missing := sorted(new for new in wanted.values() if new not in shards):
        raise PreconditionError(
            f"the target has no shard {', '.join(missing)}: it has {', '.join(shards)}; give their part to others by"
            f' shard_map, such as {{"{names[0]}": "{shards[0]}"}}'
        )
    if len(set(wanted.values())) != len(wanted):
        raise PreconditionError(f"two shards of the set would go into the same one of the target: {wanted}")
    return {
        record.name: there["config"] if record.role is ComponentRole.CONFIG else there[wanted[record.name]]
        for record in manifest.components
    }
