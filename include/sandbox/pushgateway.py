"""A Prometheus Pushgateway on this machine (Debian package `prometheus-pushgateway`)."""

from __future__ import annotations

import shutil
import urllib.request
from types import TracebackType

from mongo_backup.errors import PreconditionError
from sandbox.mongod import accepts_connections
from sandbox.ports import lease_port
from sandbox.processes import Process
from sandbox.workspace import Workspace


class Pushgateway:
    """A Pushgateway that keeps its metrics in memory."""

    def __init__(self) -> None:
        binary = shutil.which("prometheus-pushgateway")
        if binary is None:
            raise PreconditionError(
                "no prometheus-pushgateway here: install it (Debian: apt-get install prometheus-pushgateway)"
            )
        self.workspace = Workspace("pushgateway")
        self._lease = lease_port()
        self._process = Process(
            name=f"Pushgateway ({self.url})",
            command=[binary, f"--web.listen-address={self._lease.address}", "--persistence.file="],
            log_path=self.workspace.path / "pushgateway.log",
        )

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://{self._lease.address}"

    def start(self) -> Pushgateway:
        """Start it and wait until it listens. Returns itself."""
        self._process.start()
        self._process.wait_ready(lambda: accepts_connections(self._lease.port, self._lease.host))
        return self

    def stop(self) -> None:
        """Stop it; what was pushed is gone."""
        self._process.stop()

    def metrics(self) -> str:
        """Return what a Prometheus would scrape."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            text: bytes = response.read()
        return text.decode()

    def close(self) -> None:
        """Kill it and give the port back. May be called again."""
        self._process.kill()
        self.workspace.remove()
        self._lease.release()

    def __enter__(self) -> Pushgateway:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
