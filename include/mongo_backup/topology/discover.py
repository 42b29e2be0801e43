"""Find out what a deployment really is: its components, members, states and versions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo

from mongo_backup.connection import Connector, mongo_errors
from mongo_backup.errors import ConfigurationError, MongoBackupError, TransientError
from mongo_backup.objects.app_binding import ReplicaSetAddress, TopologyKind
from mongo_backup.topology.model import Component, ComponentRole, Member, Topology
from mongo_backup.topology.replica_set import first_answer, greet, read_component

logger = logging.getLogger(__name__)

CONFIG = "config"
STANDALONE = "standalone"
_ANSWER_SECONDS = 20.0


def discover(connector: Connector) -> Topology:
    """Return the deployment that the AppBinding's addresses lead to.

    It may be another than the one declared: `mongo_backup.topology.check.check` compares.

    :raises ConfigurationError: wrong credentials, a missing privilege, hosts of different sets, a router as a member.
    :raises TransientError: no member of a component answers.
    """
    spec = connector.binding.spec
    if spec.config_server is not None:
        return _sharded(connector, spec.config_server)
    hosts = spec.hosts if spec.replica_set is None else spec.replica_set.hosts
    what = "the standalone" if spec.replica_set is None else f"replica set {spec.replica_set.replica_set}"
    host, hello, _ = first_answer(connector, hosts, what=what)
    _refuse_router(host, hello)
    return _topology(connector, _kind(hello), [_component(connector, host, hello)])


def _kind(hello: dict[str, Any]) -> TopologyKind:
    return TopologyKind.REPLICA_SET if hello.get("setName") else TopologyKind.STANDALONE


def _refuse_router(host: str, hello: dict[str, Any]) -> None:
    if is_router(hello):
        raise ConfigurationError(
            f"{host} is a mongos, not a member of a replica set: declare `topology: sharded`, put the router under"
            " `mongos` and the config server's members under `config_server` (mongo-backup discover writes it)"
        )


def is_router(hello: dict[str, Any]) -> bool:
    """Whether a `hello` is a mongos'."""
    return bool(hello.get("msg") == "isdbgrid")


def _component(connector: Connector, host: str, hello: dict[str, Any]) -> Component:
    """The component of a member of which nothing is known beforehand."""
    if not hello.get("setName"):
        member = Member(host=host, state="STANDALONE")
        return Component(name=STANDALONE, role=ComponentRole.STANDALONE, members=(member,))
    if hello.get("configsvr"):
        name, role = CONFIG, ComponentRole.CONFIG
    elif identity := shard_identity(connector, host):
        name, role = str(identity["shardName"]), ComponentRole.SHARD
    else:
        name, role = str(hello["setName"]), ComponentRole.REPLICA_SET
    return read_component(connector, name=name, role=role, host=host, hello=hello)


def shard_identity(connector: Connector, host: str) -> dict[str, Any] | None:
    """Return the document that makes a replica set a shard (`shardName`, `configsvrConnectionString`), or None."""
    with mongo_errors("reading admin.system.version", host):
        found: dict[str, Any] | None = connector.member(host).admin["system.version"].find_one({"_id": "shardIdentity"})
    return found


def parse_set(text: str) -> ReplicaSetAddress:
    """Read `set/host:port,host:port`, as the config server keeps it."""
    name, _, hosts = text.partition("/")
    return ReplicaSetAddress(replica_set=name, hosts=tuple(hosts.split(",")))


def list_shards(connector: Connector, config_host: str) -> dict[str, ReplicaSetAddress]:
    """Return the shards by name: mongos' `listShards` where the AppBinding names one, else `config.shards`.

    :raises ConfigurationError: the config server is one of them; its data would be taken for routing tables.
    """
    shards = {str(shard["_id"]): parse_set(shard["host"]) for shard in _read_shards(connector, config_host)}
    if CONFIG in shards:
        raise ConfigurationError(
            "the config server of this cluster is a shard too (a config shard, from MongoDB 8.0 on), and only clusters"
            " with a dedicated config server can be backed up and restored: see transitionToDedicatedConfigServer in"
            " the MongoDB manual"
        )
    return shards


def _read_shards(connector: Connector, config_host: str) -> list[dict[str, Any]]:
    mongos = connector.mongos()
    if mongos is not None:
        where = ",".join(connector.binding.spec.mongos)
        with mongo_errors("listing the shards", where):
            return list(mongos.admin.command("listShards")["shards"])
    with mongo_errors("reading config.shards", config_host):
        return list(connector.member(config_host).config.shards.find())


def _sharded(connector: Connector, config_server: ReplicaSetAddress) -> Topology:
    host, hello, _ = first_answer(connector, config_server.hosts, what="the config server")
    _refuse_router(host, hello)
    if not hello.get("configsvr"):
        return _topology(connector, _kind(hello), [_component(connector, host, hello)])
    routers = _routers(connector, connector.binding.spec.mongos)
    declared = connector.binding.spec.shards
    shards = list_shards(connector, host)

    def read_shard(name: str) -> Component:
        seeds = (*shards[name].hosts, *(declared[name].hosts if name in declared else ()))
        found, answer, _ = first_answer(connector, seeds, what=f"shard {name}")
        return read_component(connector, name=name, role=ComponentRole.SHARD, host=found, hello=answer)

    with ThreadPoolExecutor(max_workers=8) as pool:
        components = list(pool.map(read_shard, sorted(shards)))
    config = read_component(connector, name=CONFIG, role=ComponentRole.CONFIG, host=host, hello=hello)
    return _topology(
        connector,
        TopologyKind.SHARDED,
        [config, *components],
        mongos=routers,
    )


def _routers(connector: Connector, hosts: Iterable[str]) -> tuple[str, ...]:
    """The routers that answer.

    :raises ConfigurationError: one of them is no mongos.
    :raises TransientError: none answers.
    """
    good, silent = [], []
    for host in hosts:
        try:
            hello = greet(connector, host)
        except TransientError as error:
            silent.append(str(error))
            continue
        if not is_router(hello):
            raise ConfigurationError(f"{host} is no mongos: remove it from `mongos` in the AppBinding")
        good.append(host)
    if silent and not good:
        raise TransientError("no mongos of the AppBinding answers: " + "; ".join(silent))
    return tuple(good)


def _topology(
    connector: Connector, kind: TopologyKind, components: list[Component], *, mongos: tuple[str, ...] = ()
) -> Topology:
    hosts = [member.host for component in components for member in component.members if _is_asked(member)]
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(hosts)))) as pool:
        found = dict(zip(hosts, pool.map(lambda host: _version(connector, host), hosts), strict=True))
    versions = [version for version in found.values() if isinstance(version, str)]
    errors = [error for error in found.values() if isinstance(error, MongoBackupError)]
    if not versions:
        raise next((error for error in errors if isinstance(error, ConfigurationError)), None) or TransientError(
            "no member of the deployment answers from here: " + "; ".join(map(str, errors))
        )
    reached = [
        _with_reach(component, {host for host in found if isinstance(found[host], str)}) for component in components
    ]
    return Topology(
        kind=kind,
        components=tuple(reached),
        server_version=min(versions, key=version_number),
        fcv=_fcv(connector, reached[0]),
        mongos=mongos,
    )


def _is_asked(member: Member) -> bool:
    """An arbiter holds no users, so nobody can log in there."""
    return member.healthy and not member.arbiter


def _with_reach(component: Component, reachable: set[str]) -> Component:
    members = tuple(
        member.model_copy(update={"reachable": member.host in reachable or member.arbiter})
        for member in component.members
    )
    return component.model_copy(update={"members": members})


def version_number(version: str) -> tuple[int, ...]:
    """`6.0.5-rc1` as (6, 0, 5)."""
    return tuple(int(part) for part in version.partition("-")[0].split("."))


def _version(connector: Connector, host: str) -> str | MongoBackupError:
    try:
        greet(connector, host)
        with mongo_errors("asking for its version", host), pymongo.timeout(_ANSWER_SECONDS):
            return str(connector.member(host).admin.command("buildInfo")["version"])
    except MongoBackupError as error:  # a delayed member may still have an old password
        logger.warning("%s is healthy for its set, but from here: %s", host, error)
        return error


def _fcv(connector: Connector, component: Component) -> str | None:
    asked = [member for member in (component.primary, *component.members) if member is not None]
    host = next((member.host for member in asked if _is_asked(member) and member.reachable), None)
    if host is None:
        return None
    with mongo_errors("reading the featureCompatibilityVersion", host):
        found = connector.member(host).admin["system.version"].find_one({"_id": "featureCompatibilityVersion"})
    return str(found["version"]) if found else None
