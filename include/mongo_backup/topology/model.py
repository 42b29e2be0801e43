"""Topology as found: components (replica sets) and their members."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from mongo_backup.model import Model
from mongo_backup.objects.app_binding import TopologyKind


class ComponentRole(StrEnum):
    """What a component is in its deployment."""

    STANDALONE = "standalone"
    REPLICA_SET = "replica_set"
    CONFIG = "config"
    SHARD = "shard"


class Member(Model):
    """One member of a replica set as its set sees it (`replSetGetConfig`, `replSetGetStatus`, `hello`)."""

    host: str
    """`host:port` as in the set's configuration."""
    state: str
    """MongoDB's `stateStr`: PRIMARY, SECONDARY, ARBITER, RECOVERING, DOWN, ...; STANDALONE without a set."""
    healthy: bool = True
    """Its set hears from it."""
    reachable: bool = True
    """It answers from here. An arbiter is not asked."""
    priority: float = 1
    votes: int = 1
    hidden: bool = False
    arbiter: bool = False
    delay_seconds: int = 0
    """`secondaryDelaySecs`."""
    lag_seconds: float | None = None
    """How far its last applied operation is behind the primary's; None where unknown."""
    sync_source: str | None = None
    """The member that it copies from; a chain ends at the primary."""
    tags: dict[str, str] = Field(default_factory=dict)


class Component(Model):
    """One replica set of the target (or the standalone itself)."""

    name: str
    """`config`, a shard's name, the replica set's name, or `standalone`."""
    role: ComponentRole
    replica_set: str | None = None
    members: tuple[Member, ...]

    @property
    def primary(self) -> Member | None:
        """The member that takes writes, if there is one."""
        return next((m for m in self.members if m.state in ("PRIMARY", "STANDALONE")), None)


class Topology(Model):
    """A deployment as found."""

    kind: TopologyKind
    components: tuple[Component, ...]
    """The config server first, then shards by name."""
    server_version: str
    """`buildInfo.version` of the oldest member that answered."""
    fcv: str | None = None
    """featureCompatibilityVersion."""
    mongos: tuple[str, ...] = ()

    def component(self, name: str) -> Component:
        """The component of that name."""
        return next(component for component in self.components if component.name == name)


class ReadMode(StrEnum):
    """How a chosen member is kept readable at the cluster time."""

    LOCK = "lock"
    """fsyncLocked for the time of its dump."""
    WINDOW = "window"
    """Its history window is raised for the time of its dump."""
    PLAIN = "plain"
    """Read as it is: a standalone."""


class ChosenMember(Model):
    """The member that a component is read from, and why."""

    component: str
    role: ComponentRole
    replica_set: str | None = None
    host: str
    state: str
    mode: ReadMode
    reasons: tuple[str, ...] = ()
    """In words, best first; for the log and the manifest."""
