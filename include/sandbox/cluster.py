"""A sharded cluster without mongos: none comes from a package registry.

What mongos would ask of the config server is asked of it directly, by the server's internal commands
(`_configsvrAddShard` and its like; src/mongo/s/request_types in the MongoDB 6.0 source).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sandbox.component import Component, Member
from sandbox.deployment import Deployment, shape
from sandbox.mongod import Role

CONFIG = "config"
MAJORITY = {"w": "majority", "wtimeout": 60_000}


class ShardedCluster(Deployment):
    """Components "config", "shard0", "shard1", ...; shard names equal their replica sets' names.

    :param shards: how many.
    :param members: of each shard: how many, or each one's part.
    :param config_members: of the config server.
    :param options: see `Deployment`.
    """

    def __init__(
        self,
        *,
        shards: int = 2,
        members: int | Sequence[Member] = 3,
        config_members: int | Sequence[Member] = 3,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.shard_names = [f"shard{number}" for number in range(shards)]
        self.components = {
            CONFIG: self._component(
                name=CONFIG,
                options=dataclasses.replace(self.options, role=Role.CONFIG, replica_set=CONFIG),
                members=shape(config_members),
            )
        }
        for name in self.shard_names:
            self.components[name] = self._component(
                name=name,
                options=dataclasses.replace(self.options, role=Role.SHARD, replica_set=name),
                members=shape(members),
            )

    def _join(self) -> None:
        if any(member.arbiter for component in self.components.values() for member in component.members):
            # A shard with an arbiter has {w: 1} by default, and addShard wants the operator's word on that.
            self.admin_client(CONFIG).admin.command("setDefaultRWConcern", defaultWriteConcern={"w": "majority"})
        for name in self.shard_names:
            hosts = ",".join(
                host
                for host, member in zip(self.hosts(name), self.components[name].members, strict=True)
                if not member.hidden and not member.arbiter
            )
            command = {"_configsvrAddShard": f"{name}/{hosts}", "name": name, "writeConcern": MAJORITY}
            self.admin_client(CONFIG).admin.command(command)

    def stop(self) -> None:
        """Stop all servers cleanly, the config server last: a shard that misses it stops slowly (15 s)."""
        shards = [self.components[name] for name in self.shard_names]
        with ThreadPoolExecutor(max_workers=len(shards)) as pool:
            list(pool.map(Component.stop, shards))
        self.components[CONFIG].stop()

    def _address(self) -> dict[str, Any]:
        addresses = {
            name: {"replica_set": component.name, "hosts": component.hosts}
            for name, component in self.components.items()
        }
        return {"topology": "sharded", "config_server": addresses.pop(CONFIG), "shards": addresses}
