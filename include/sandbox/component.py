"""One component of a deployment: the members of one replica set, or one standalone server."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongo_backup.errors import ConfigurationError
from sandbox.mongod import Client, Mongod, MongodOptions, Role
from sandbox.users import Credentials, User, create_users
from sandbox.waiting import wait_until

logger = logging.getLogger(__name__)

PREFERRED_PRIORITY = 10
SETTLED = {1, 2, 7}  # PRIMARY, SECONDARY, ARBITER of replSetGetStatus


@dataclass(frozen=True)
class Member:
    """One member's part in the replica set's configuration."""

    priority: float | None = None
    """None: 1, and more for the first member of a set with `predictable_primary`."""
    hidden: bool = False
    votes: int = 1
    arbiter: bool = False
    delay_seconds: int = 0
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SetSettings:
    """How a replica set behaves. Elections are quicker than by default (10 s), heartbeats more frequent (2 s)."""

    election_timeout_ms: int = 4000
    heartbeat_interval_ms: int = 500
    predictable_primary: bool = True
    """The first member is preferred: it becomes primary, and again after it was away."""
    chaining: bool = True
    """Whether members copy from other secondaries too, as by default. Behind a locked one they then stand still, and
    with them majority writes, until they look for another source."""


class Component:
    """Members that belong together.

    :param name: replica set's name, or any name for a standalone.
    :param members: one per server; empty options for a standalone.
    """

    def __init__(
        self,
        *,
        name: str,
        folder: Path,
        options: MongodOptions,
        members: Sequence[Member],
        settings: SetSettings,
        credentials: Credentials | None,
    ) -> None:
        self.name = name
        self.options = options
        self.settings = settings
        self.credentials = credentials
        self.members = tuple(members)
        self.mongods = [
            Mongod(name=f"{name}-{number}", folder=folder, options=options) for number in range(len(members))
        ]
        self._clients: dict[tuple[str, ...], Client] = {}

    @property
    def hosts(self) -> list[str]:
        """Addresses of all members, arbiters too."""
        return [mongod.host for mongod in self.mongods]

    def mongod(self, host: str) -> Mongod:
        """Return the member with this address.

        :raises ConfigurationError: there is none.
        """
        for mongod in self.mongods:
            if mongod.host == host:
                return mongod
        raise ConfigurationError(f"{self.name} has no member {host}; its members are {', '.join(self.hosts)}")

    # Life

    def launch(self) -> None:
        """Start all processes and return at once."""
        for mongod in self.mongods:
            mongod.launch()

    def build(self) -> None:
        """Make the running, empty servers one replica set with its users, and wait until all members are in."""
        for mongod in self.mongods:
            mongod.wait_ready()
        if self.options.replica_set:
            self._initiate()
        self.wait_settled()
        if self.credentials:
            create_users(self._system_client(self.primary()).admin, self.credentials)
        logger.info("%s is up: %s", self.name, ", ".join(self.hosts))

    def start(self) -> None:
        """Start what is stopped, on the data that is there, and wait until all members are in."""
        self.launch()
        for mongod in self.mongods:
            mongod.wait_ready()
        self.wait_settled()

    def stop(self) -> None:
        """Stop all members cleanly; the data stay."""
        self.forget_clients()
        for mongod in self.mongods:
            mongod.process.ask_to_stop()
        for mongod in self.mongods:
            mongod.stop()

    def remove_data(self) -> None:
        """Kill all members and remove their data."""
        self.forget_clients()
        for mongod in self.mongods:
            mongod.remove_data()

    def close(self) -> None:
        """Kill all members, remove their data, give the ports back."""
        self.remove_data()
        for mongod in self.mongods:
            mongod.lease.release()

    # Connections

    def client(self, *, user: User | None, host: str | None = None, **options: Any) -> Client:
        """Return a client, closed with the component; the same one for the same arguments.

        :param user: whom to log in as; None: nobody.
        :param host: connect to this member directly; None: to the replica set, following its primary.
        :param options: further ones of the driver; a client with such is a new one each time.
        """
        key = (user.username if user else "", host or "")
        if options or key not in self._clients:
            client = self._new_client(user=user, host=host, **options)
            self._clients[(*key, str(id(client))) if options else key] = client
            return client
        return self._clients[key]

    def _new_client(self, *, user: User | None, host: str | None, **options: Any) -> Client:
        every: dict[str, Any] = {"serverSelectionTimeoutMS": 20_000, **self.mongods[0].connection_options()}
        if user:
            every |= {"username": user.username, "password": user.password, "authSource": "admin"}
        if host or not self.options.replica_set:
            return MongoClient(host or self.hosts[0], directConnection=True, **(every | options))
        return MongoClient(self.hosts, replicaSet=self.options.replica_set, **(every | options))

    def _system_client(self, host: str) -> Client:
        """Return a client as the servers' own user, whose password is the key file: it exists before all users."""
        key = ("__system", host)
        if key not in self._clients:
            options: dict[str, Any] = {}
            if self.options.key_file:
                options = {"username": "__system", "password": self.options.key_file.read_text()}
                options |= {"authSource": "local", "authMechanism": "SCRAM-SHA-256"}
            self._clients[key] = self._new_client(user=None, host=host, **options)
        return self._clients[key]

    def admin_client(self, host: str | None = None) -> Client:
        """Return a client that may do anything (see `client`)."""
        return self.client(user=self.credentials.admin if self.credentials else None, host=host)

    def forget_clients(self) -> None:
        """Close all clients that were handed out."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    # State

    def primary(self, *, timeout: float = 60.0) -> str:
        """Return the address of the primary, waiting for an election if need be (a standalone is its own)."""
        if not self.options.replica_set:
            return self.hosts[0]
        return wait_until(self._find_primary, what=f"{self.name} has a primary", timeout=timeout)

    def _find_primary(self) -> str | None:
        return next((host for host in self.hosts if self._hello(host).get("isWritablePrimary")), None)

    def secondaries(self) -> list[str]:
        """Return the addresses of the members that are secondaries now."""
        return [host for host in self.hosts if self._hello(host).get("secondary")]

    def _hello(self, host: str) -> dict[str, Any]:
        if not self.mongod(host).running:
            return {}
        try:
            return self.client(user=None, host=host).admin.command("hello")
        except PyMongoError:
            return {}

    def wait_settled(self, *, timeout: float = 60.0) -> None:
        """Wait until every running member is a primary, secondary or arbiter and the preferred one is primary."""
        if self.options.replica_set:
            wait_until(
                self._settled, what=f"all members of {self.name} are in", timeout=timeout, retry_on=(PyMongoError,)
            )

    def _settled(self) -> bool:
        first = self.mongods[0]
        primary = self._find_primary()
        if self._prefers_first and first.running and primary != first.host:
            # An election comes after the time-out; asking for one, as an operator may, makes it at once.
            self._system_client(first.host).admin.command("replSetStepUp")
            return False
        if primary is None:
            return False
        status = self._system_client(primary).admin.command("replSetGetStatus")
        running = {mongod.host for mongod in self.mongods if mongod.running}
        return all(member["state"] in SETTLED for member in status["members"] if member["name"] in running)

    @property
    def _prefers_first(self) -> bool:
        return self.settings.predictable_primary and all(member.priority is None for member in self.members[:1])

    def wait_for_replication(self, *, timeout: float = 60.0) -> None:
        """Wait until all data-bearing, undelayed, running members have what the primary has now, majority committed."""
        if not self.options.replica_set:
            return
        primary = self.admin_client(self.primary())
        wanted = primary.admin.command("appendOplogNote", data={"sandbox": "replication"})["operationTime"]
        ignored = {
            mongod.host
            for mongod, member in zip(self.mongods, self.members, strict=True)
            if member.arbiter or member.delay_seconds or not mongod.running
        }

        def caught_up() -> bool:
            status = primary.admin.command("replSetGetStatus")
            members = [member for member in status["members"] if member["name"] not in ignored]
            committed = status["optimes"]["lastCommittedOpTime"]["ts"] >= wanted
            return committed and all(member["optime"]["ts"] >= wanted for member in members)

        wait_until(caught_up, what=f"{self.name} has replicated", timeout=timeout)

    # Building

    def _member_document(self, number: int) -> dict[str, Any]:
        member = self.members[number]
        document: dict[str, Any] = {"_id": number, "host": self.mongods[number].host}
        priority = member.priority
        if member.arbiter:
            return document | {"arbiterOnly": True}
        if member.hidden or member.delay_seconds or not member.votes:
            priority = 0
        elif priority is None:
            priority = PREFERRED_PRIORITY if number == 0 and self.settings.predictable_primary else 1
        document |= {"priority": priority, "hidden": member.hidden, "votes": member.votes, "tags": member.tags}
        return document | ({"secondaryDelaySecs": member.delay_seconds} if member.delay_seconds else {})

    def _initiate(self) -> None:
        document: dict[str, Any] = {
            "_id": self.options.replica_set,
            "members": [self._member_document(number) for number in range(len(self.members))],
            "settings": {
                "electionTimeoutMillis": self.settings.election_timeout_ms,
                "heartbeatIntervalMillis": self.settings.heartbeat_interval_ms,
                "chainingAllowed": self.settings.chaining,
            },
        }
        if self.options.role is Role.CONFIG:
            document["configsvr"] = True
        first = self.hosts[0]
        self._system_client(first).admin.command("replSetInitiate", document)
