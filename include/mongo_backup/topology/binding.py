"""Make a ready AppBinding from one connection string: what `mongo-backup discover URI` prints."""

from __future__ import annotations

import re
from typing import Any

from pydantic import SecretStr
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from mongo_backup.connection import Connector, mongo_errors
from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.app_binding import AppBinding, AppBindingSpec, ReplicaSetAddress, Tls, TopologyKind
from mongo_backup.objects.base import CredentialsReference, Metadata
from mongo_backup.topology.discover import discover, is_router, parse_set, shard_identity
from mongo_backup.topology.model import Component, Topology
from mongo_backup.topology.replica_set import first_answer


def target_from_uri(uri: str, name: str) -> tuple[AppBinding, Credentials]:
    """Describe the deployment of a connection string, and return the credentials in it, as that AppBinding names them.

    :raises ConfigurationError: the string cannot be read, or the credentials are wrong.
    :raises TransientError: nothing answers.
    """
    return binding_from_uri(uri, name), _credentials(_parse(uri), name)


def binding_from_uri(uri: str, name: str, *, connection: str | None = None) -> AppBinding:
    """Connect to any member, config server member or mongos, find the rest, and describe it.

    :param uri: a `mongodb://` connection string; its password stays out of the result.
    :param name: the AppBinding's name.
    :param connection: the id of the Airflow Connection that will hold the credentials; none: the AppBinding's name.
    :raises ConfigurationError: the string cannot be read, or the credentials are wrong.
    :raises TransientError: nothing answers.
    """
    parsed = _parse(uri)
    hosts = tuple(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in parsed["nodelist"])
    common = _common(parsed, connection or name)
    credentials = _credentials(parsed, connection or name)

    def connector(**address: Any) -> Connector:
        spec = AppBindingSpec(**common, **address)
        return Connector(binding=AppBinding(metadata=Metadata(name=name), spec=spec), credentials=credentials)

    with connector(topology=TopologyKind.STANDALONE, hosts=hosts[:1]) as probe:
        host, hello, answers = first_answer(probe, hosts, what="the connection string")
        address = _address(probe, host, hello, tuple(answers))
    with connector(**address) as first:
        topology = discover(first)
    spec = AppBindingSpec(**common, **_full_address(topology))
    return AppBinding(metadata=Metadata(name=name), spec=spec)


def _parse(uri: str) -> dict[str, Any]:
    try:
        return dict(parse_uri(uri, validate=True))
    except (PyMongoError, ValueError) as error:
        # The driver may quote what it could not read, and that may be a part of the password.
        reason = type(error).__name__ if "@" in uri else str(error)
        raise ConfigurationError(
            f"the connection string cannot be read ({reason}): write mongodb://user:password@host:port/ with every"
            " special character of user and password percent-encoded"
        ) from None


def _common(parsed: dict[str, Any], connection: str) -> dict[str, Any]:
    options = parsed["options"]
    common: dict[str, Any] = {"tls": _tls(options)}
    if _logs_in(parsed):
        common["credentials"] = CredentialsReference(connection=connection)
    if (source := options.get("authSource") or parsed["database"]) and source != "$external":
        common["auth_source"] = source
    if mechanism := options.get("authMechanism"):
        common["auth_mechanism"] = mechanism
    return common


def _logs_in(parsed: dict[str, Any]) -> bool:
    """By user name, or by the client's certificate alone."""
    return parsed["username"] is not None or parsed["options"].get("authMechanism") == "MONGODB-X509"


def _tls(options: Any) -> Tls | None:
    if not (options.get("tls") or options.get("ssl")):
        return None
    return Tls(
        ca_file=options.get("tlsCAFile"),
        certificate_key_file=options.get("tlsCertificateKeyFile"),
        allow_invalid_hostnames=bool(options.get("tlsAllowInvalidHostnames") or options.get("tlsInsecure")),
    )


def _credentials(parsed: dict[str, Any], connection: str) -> Credentials:
    if not _logs_in(parsed):
        return Credentials()
    password = None if parsed["password"] is None else SecretStr(parsed["password"])
    return Credentials(values={f"connection:{connection}": Credential(username=parsed["username"], password=password)})


def _address(connector: Connector, host: str, hello: dict[str, Any], hosts: tuple[str, ...]) -> dict[str, Any]:
    """A first address, from which the whole is found."""
    if is_router(hello):
        return _sharded(_config_server_of_router(connector, host), mongos=hosts)
    if hello.get("configsvr"):
        return _sharded(ReplicaSetAddress(replica_set=hello["setName"], hosts=hosts))
    if not hello.get("setName"):
        return {"topology": TopologyKind.STANDALONE, "hosts": (host,)}
    if identity := shard_identity(connector, host):
        return _sharded(parse_set(identity["configsvrConnectionString"]))
    return {
        "topology": TopologyKind.REPLICA_SET,
        "replica_set": ReplicaSetAddress(replica_set=hello["setName"], hosts=hosts),
    }


def _sharded(config_server: ReplicaSetAddress, mongos: tuple[str, ...] = ()) -> dict[str, Any]:
    """A sharded cluster whose shards are not known yet: a shard's address is needed, so the config server stands in."""
    return {
        "topology": TopologyKind.SHARDED,
        "config_server": config_server,
        "shards": {"unknown": config_server},
        "mongos": mongos,
    }


def _config_server_of_router(connector: Connector, host: str) -> ReplicaSetAddress:
    """A router knows its config server: `serverStatus.sharding`, for which the built-in role `backup` is enough."""
    with mongo_errors("asking the router for its config server (serverStatus)", host):
        status = connector.member(host).admin.command("serverStatus", repl=0, metrics=0, locks=0)
    text = str(status.get("sharding", {}).get("configsvrConnectionString", ""))
    if not re.fullmatch(r"[^/]+/.+", text):
        raise ConfigurationError(f"{host} does not say which config server it uses: give a config server member's URI")
    return parse_set(text)


def _full_address(topology: Topology) -> dict[str, Any]:
    first, *others = topology.components
    if topology.kind is TopologyKind.STANDALONE:
        return {"topology": topology.kind, "hosts": tuple(member.host for member in first.members)}
    if topology.kind is TopologyKind.REPLICA_SET:
        return {"topology": topology.kind, "replica_set": _set_address(first)}
    return {
        "topology": topology.kind,
        "config_server": _set_address(first),
        "shards": {component.name: _set_address(component) for component in others},
        "mongos": topology.mongos,
    }


def _set_address(component: Component) -> ReplicaSetAddress:
    """Visible members first: drivers start with them. An arbiter holds no users, so nobody can log in there."""
    members = [member for member in component.members if not member.arbiter]
    hosts = tuple(member.host for member in sorted(members, key=lambda member: member.hidden))
    return ReplicaSetAddress(replica_set=component.replica_set or "", hosts=hosts)
