"""`kind: AppBinding`: which MongoDB, its topology as declared, and how to reach it."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, HostPort, KubernetesStyleObject


class TopologyKind(StrEnum):
    """How a MongoDB deployment is put together."""

    STANDALONE = "standalone"
    REPLICA_SET = "replica_set"
    SHARDED = "sharded"


class ReplicaSetAddress(Model):
    """How to reach one replica set."""

    replica_set: str
    """The replica set's name (`rs.status().set`)."""
    hosts: tuple[HostPort, ...] = Field(min_length=1)
    """Seed members; the others are discovered."""


class Tls(Model):
    """How connections are encrypted. Certificates themselves belong to the credentials (`ca`, `certificate_key`)."""

    enabled: bool = True
    """False: the section stays, the connections are not encrypted."""
    ca_file: str | None = None
    """A PEM file with the authority's certificate where the agent runs; else the credential's `ca` or the system's."""
    certificate_key_file: str | None = None
    """A PEM file with the client's certificate and key, where the agent runs; or the credential's `certificate_key`."""
    allow_invalid_hostnames: bool = False
    """Accept a certificate for another host name (tunnels)."""


class MemberPreference(Model):
    """Which members to read from, where there is a choice."""

    preferred: tuple[HostPort, ...] = ()
    """These first, if they are healthy."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Members with all these tags before the others."""
    exclude: tuple[HostPort, ...] = ()
    """Never these."""
    max_lag_seconds: float = Field(default=30, gt=0)
    """A member further behind its primary is not chosen."""


class AppBindingSpec(Model):
    """The deployment."""

    topology: TopologyKind
    """`standalone`, `replica_set` or `sharded`; checked against what is found."""
    hosts: tuple[HostPort, ...] = ()
    """Standalone: the one server."""
    replica_set: ReplicaSetAddress | None = None
    """Replica set: its name and members."""
    config_server: ReplicaSetAddress | None = None
    """Sharded cluster: the config server's replica set."""
    shards: dict[str, ReplicaSetAddress] = Field(default_factory=dict)
    """Sharded cluster: each shard by its name in `config.shards`."""
    mongos: tuple[HostPort, ...] = ()
    """Sharded cluster: routers, if the agent can reach any. Without them the config server is asked directly."""
    credentials: CredentialsReference | None = None
    """The backup user, the same on every component; none for a server without access control."""
    restore_credentials: CredentialsReference | None = None
    """The user that restores; without it the backup user's credentials are used."""
    auth_source: str = "admin"
    """The database that the user belongs to."""
    auth_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-1", "MONGODB-X509"] | None = None
    """None lets server and driver agree."""
    tls: Tls | None = None
    """None: connections are not encrypted."""
    members: MemberPreference = MemberPreference()
    """Which members backups prefer."""
    pool: str | None = None
    """An Airflow pool for dumps and restores of this target, by whatever configuration."""

    @model_validator(mode="after")
    def _fits_topology(self) -> Self:
        """Each topology needs its own addresses and no others."""
        present = {
            "hosts": bool(self.hosts),
            "replica_set": self.replica_set is not None,
            "config_server": self.config_server is not None,
            "shards": bool(self.shards),
        }
        needed = {
            TopologyKind.STANDALONE: {"hosts"},
            TopologyKind.REPLICA_SET: {"replica_set"},
            TopologyKind.SHARDED: {"config_server", "shards"},
        }[self.topology]
        missing = sorted(needed - {name for name, there in present.items() if there})
        extra = sorted({name for name, there in present.items() if there} - needed)
        if missing:
            raise ValueError(f"topology {self.topology} needs {', '.join(missing)}")
        if extra:
            raise ValueError(f"topology {self.topology} has no {', '.join(extra)}: remove it or change the topology")
        if self.topology is TopologyKind.STANDALONE and len(self.hosts) != 1:
            raise ValueError("a standalone is one server: give exactly one host")
        if self.mongos and self.topology is not TopologyKind.SHARDED:
            raise ValueError("only a sharded cluster has mongos")
        if "config" in self.shards:
            raise ValueError("a shard named config (embedded config server) is not supported yet")
        return self


class AppBinding(KubernetesStyleObject):
    """A MongoDB deployment that is backed up or restored into."""

    kind: Literal["AppBinding"] = "AppBinding"
    """`AppBinding`."""
    spec: AppBindingSpec
    """The deployment."""
