"""What standalone, replica set and sharded cluster of the sandbox have in common."""

from __future__ import annotations

import base64
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

from sandbox.component import Component, Member, SetSettings
from sandbox.mongod import Client, MongodOptions
from sandbox.tls import TlsFiles, make_tls
from sandbox.users import Credentials, User
from sandbox.workspace import Workspace

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

BACKUP_CONNECTION = "sandbox-mongo-backup"
RESTORE_CONNECTION = "sandbox-mongo-restore"


def shape(members: int | Sequence[Member]) -> list[Member]:
    """Return members for a number of plain ones, or those given."""
    return [Member() for _ in range(members)] if isinstance(members, int) else list(members)


class Deployment(ABC):
    """A MongoDB on this machine: start it, use it, break it; `close` (or the end of `with`) leaves nothing behind.

    :param auth: key file between the members, and users (see `credentials`); without it nobody logs in.
    :param tls: every connection is encrypted, by an own CA (`tls.ca_file`).
    :param settings: of every replica set.
    :param parameters: server parameters (`setParameter`) of every mongod.
    :param oplog_mb: size of each oplog in MB.
    :param cache_gb: WiredTiger cache of each mongod in GB.
    """

    def __init__(
        self,
        *,
        auth: bool = True,
        tls: bool = False,
        settings: SetSettings | None = None,
        parameters: dict[str, Any] | None = None,
        oplog_mb: int | None = 128,
        cache_gb: float = 0.5,
    ) -> None:
        self.workspace = Workspace("mongo")
        self.settings = settings or SetSettings()
        self.credentials: Credentials | None = Credentials() if auth else None
        self.tls: TlsFiles | None = make_tls(self.workspace.folder("tls")) if tls else None
        self.options = MongodOptions(
            key_file=self._make_key_file() if auth else None,
            tls=self.tls,
            oplog_mb=oplog_mb,
            cache_gb=cache_gb,
            parameters=parameters or {},
        )
        self.components: dict[str, Component] = {}

    def _make_key_file(self) -> Path:
        path = self.workspace.path / "key"
        path.touch(mode=0o600)
        path.write_text(base64.b64encode(os.urandom(96)).decode())
        return path

    def _component(self, *, name: str, options: MongodOptions, members: Sequence[Member]) -> Component:
        return Component(
            name=name,
            folder=self.workspace.path,
            options=options,
            members=members,
            settings=self.settings,
            credentials=self.credentials,
        )

    # Life

    def start(self) -> Self:
        """Start all servers, empty, and make them one deployment with its users. Returns itself.

        :raises MongoBackupError: a server did not come up; everything is stopped and removed.
        """
        began = time.monotonic()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        logger.info("%s is up after %.1f s", type(self).__name__, time.monotonic() - began)
        return self

    def _build(self) -> None:
        for component in self.components.values():
            component.launch()
        self._everywhere(Component.build)
        self._join()

    @abstractmethod
    def _join(self) -> None:
        """Make the built components one deployment."""

    def stop(self) -> None:
        """Stop all servers cleanly; the data stay, `resume_all` brings them back."""
        self._everywhere(Component.stop)

    def resume_all(self) -> None:
        """Start what is stopped, on its data."""
        for component in self.components.values():
            component.launch()
        self._everywhere(Component.start)

    def wipe_and_restart(self) -> None:
        """Destroy all data and build an empty deployment of the same shape, ports, names and users."""
        self._everywhere(Component.remove_data)
        self._build()

    def close(self) -> None:
        """Kill all servers, remove their data and give the ports back. May be called again."""
        for component in self.components.values():
            component.close()
        self.workspace.remove()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _everywhere(self, act: Callable[[Component], Result]) -> list[Result]:
        with ThreadPoolExecutor(max_workers=len(self.components)) as pool:
            return list(pool.map(act, self.components.values()))

    # Members

    def component_of(self, host: str) -> Component:
        """Return the component that has this member."""
        return next(component for component in self.components.values() if host in component.hosts)

    def hosts(self, component: str | None = None) -> list[str]:
        """Return the addresses of one component's members, or of all."""
        chosen: Iterable[Component] = [self.components[component]] if component else self.components.values()
        return [host for each in chosen for host in each.hosts]

    def primary(self, component: str) -> str:
        """Return the address of a component's primary."""
        return self.components[component].primary()

    def secondaries(self, component: str) -> list[str]:
        """Return the addresses of a component's secondaries."""
        return self.components[component].secondaries()

    def stop_member(self, host: str) -> None:
        """Stop one member cleanly; its data stay."""
        self.component_of(host).mongod(host).stop()

    def kill_member(self, host: str) -> None:
        """Kill one member by SIGKILL, like a crash; its data stay."""
        self.component_of(host).mongod(host).kill()

    def start_member(self, host: str) -> None:
        """Start one stopped or killed member on its data and wait until it is in."""
        component = self.component_of(host)
        component.mongod(host).start()
        component.wait_settled()

    def pause_member(self, host: str) -> None:
        """Freeze one member (SIGSTOP)."""
        self.component_of(host).mongod(host).pause()

    def resume_member(self, host: str) -> None:
        """Let a frozen member go on (SIGCONT)."""
        self.component_of(host).mongod(host).resume()

    def wait_for_replication(self) -> None:
        """Wait until all undelayed running members have what the primaries have now."""
        self._everywhere(Component.wait_for_replication)

    # Connections

    def client(
        self,
        *,
        component: str | None = None,
        host: str | None = None,
        user: str | User | None = "admin",
        **options: Any,
    ) -> Client:
        """Return a client, closed with the deployment.

        :param component: connect to its replica set, following the primary.
        :param host: or to this one member, directly.
        :param user: "admin", "backup", "restore", a `User`, or None for nobody; ignored when `auth` is off.
        :param options: further options of the driver.
        """
        chosen = self.component_of(host) if host else self.components[component or next(iter(self.components))]
        return chosen.client(user=self._user(user), host=host, **options)

    def _user(self, user: str | User | None) -> User | None:
        if self.credentials is None or user is None:
            return None
        return self.credentials.user(user) if isinstance(user, str) else user

    def admin_client(self, component: str, host: str | None = None) -> Client:
        """Return a client of a component that may do anything (see `client`)."""
        return self.client(component=component, host=host)

    def uri(self, *, component: str | None = None, host: str | None = None, user: str | User | None = "admin") -> str:
        """Return a connection string with the password in it, for programs that take no other form."""
        chosen = self.component_of(host) if host else self.components[component or next(iter(self.components))]
        who = self._user(user)
        login = f"{quote(who.username, safe='')}:{quote(who.password, safe='')}@" if who else ""
        query = [f"replicaSet={chosen.options.replica_set}"] if not host and chosen.options.replica_set else []
        query = query or ["directConnection=true"]
        query += ["authSource=admin"] if who else []
        query += ["tls=true", f"tlsCAFile={quote(str(self.tls.ca_file), safe='')}"] if self.tls else []
        return f"mongodb://{login}{host or ','.join(chosen.hosts)}/?{'&'.join(query)}"

    # The product's view

    @abstractmethod
    def _address(self) -> dict[str, Any]:
        """Return the topology part of the AppBinding's spec."""

    def app_binding(self, name: str = "sandbox") -> dict[str, Any]:
        """Return this deployment as the product's `kind: AppBinding`.

        Its credentials are the Connections `BACKUP_CONNECTION` and `RESTORE_CONNECTION` (see `connections`).
        """
        spec = self._address()
        if self.credentials:
            spec["credentials"] = {"connection": BACKUP_CONNECTION}
            spec["restore_credentials"] = {"connection": RESTORE_CONNECTION}
        if self.tls:
            spec["tls"] = {"ca_file": str(self.tls.ca_file)}
        return {"apiVersion": "mongo-backup/v1", "kind": "AppBinding", "metadata": {"name": name}, "spec": spec}

    def connections(self) -> dict[str, User]:
        """Return the users behind the AppBinding's credentials, by Connection id."""
        if self.credentials is None:
            return {}
        return {BACKUP_CONNECTION: self.credentials.backup, RESTORE_CONNECTION: self.credentials.restore}
