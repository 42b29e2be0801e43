"""Azure Blob Storage on this machine: azurite behind a wire that speaks for `<account>.blob.core.windows.net`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import sys
import urllib.error
import urllib.request
from email.utils import formatdate
from pathlib import Path
from types import TracebackType

from mongo_backup.errors import PreconditionError
from sandbox.mongod import accepts_connections
from sandbox.ports import lease_port
from sandbox.processes import Process
from sandbox.stores.wire import Wire
from sandbox.tls import make_tls
from sandbox.workspace import Workspace

ACCOUNT = "sandboxshop"
HOST = f"{ACCOUNT}.blob.core.windows.net"
KEY = base64.b64encode(b"sandbox: no key of anybody's /+=").decode()
FOLDER_VARIABLE = "MONGO_BACKUP_AZURITE"
API_VERSION = "2021-08-06"


def azurite_command() -> list[str]:
    """Return how azurite's blob server is started; `make setup` installs it beside this Python's packages.

    :raises PreconditionError: node or azurite is not there.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or Path(sys.prefix) / "azurite")
    program = folder / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    node = shutil.which("node")
    if node is None or not program.is_file():
        raise PreconditionError(f"no {'node' if node is None else 'azurite'} here: run `make setup`")
    return [node, str(program)]


class AzureStorage:
    """A store with one account and one container.

    Clients reach it with `proxy` as https_proxy and `ca_file` as the authority that they trust.
    """

    def __init__(self, *, container: str = "backups") -> None:
        self.container_name = container
        self.workspace = Workspace("azure")
        tls = make_tls(self.workspace.folder("tls"), names=[HOST])
        self.ca_file = tls.ca_file
        self._lease = lease_port()
        self._process = Process(
            name=f"azurite ({self._lease.address})",
            command=[
                *azurite_command(),
                *("--blobHost", self._lease.host, "--blobPort", str(self._lease.port)),
                "--inMemoryPersistence",
                *("--disableTelemetry", "--skipApiVersionCheck", "--silent"),
            ],
            log_path=self.workspace.path / "azurite.log",
            environment={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"},
            cwd=self.workspace.path,
        )
        self.wire = Wire((self._lease.host, self._lease.port), certificate=tls.key_file)

    @property
    def proxy(self) -> str:
        """What to set https_proxy to."""
        return f"http://{self.wire.address}"

    def start(self) -> AzureStorage:
        """Start it and make its container. Returns itself."""
        try:
            self._process.start()
            self._process.wait_ready(lambda: accepts_connections(self._lease.port, self._lease.host))
            self._container("PUT", self.container_name)
        except BaseException:
            self.close()
            raise
        return self

    def has_container(self, name: str) -> bool:
        """Whether a container is there."""
        try:
            self._container("HEAD", name)
        except urllib.error.HTTPError:
            return False
        return True

    def _container(self, method: str, name: str) -> None:
        """Ask by Shared Key (https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key)."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": API_VERSION}
        named = "".join(f"{key}:{value}\n" for key, value in sorted(headers.items()))
        signed = f"{method}{chr(10) * 12}{named}/{ACCOUNT}/{name}\nrestype:container"
        digest = hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        headers["Host"] = HOST
        address = f"http://{self._lease.address}/{name}?restype=container"
        request = urllib.request.Request(address, method=method, headers=headers)
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5).close()

    def close(self) -> None:
        """Kill it and give the ports back. May be called again."""
        self._process.kill()
        self.wire.close()
        self.workspace.remove()
        self._lease.release()

    def __enter__(self) -> AzureStorage:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
