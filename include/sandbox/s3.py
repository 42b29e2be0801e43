"""A real S3 store on this machine: SeaweedFS (master, volume server, filer and S3 gateway in one process)."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mongo_backup.errors import PreconditionError
from sandbox.ports import PortLease, lease_port
from sandbox.processes import Process
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace

logger = logging.getLogger(__name__)

REGION = "us-east-1"
LISTENERS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


@dataclass(frozen=True)
class AccessKey:
    """An S3 identity."""

    access_key: str
    secret_key: str = field(repr=False)


def weed_binary() -> str:
    """Return the path of SeaweedFS's `weed`: beside this Python, else on PATH.

    :raises PreconditionError: there is none.
    """
    beside = Path(sys.executable).with_name("weed")
    if found := str(beside) if beside.exists() else shutil.which("weed"):
        return found
    raise PreconditionError("no weed (SeaweedFS) here: install the packages of requirements-dev.txt")


class S3Store:
    """An S3 store with one administrator key and a first bucket.

    :param bucket: made at the start; None: no bucket.
    :param key: the administrator's key.
    :param volumes: how many files of `volume_mb` the store may fill: its disk.
    """

    DEFAULT_BUCKET = "backups"

    DEFAULT_KEY = AccessKey("SANDBOXACCESSKEY0001", "sandbox/secret+key=0123456789")

    def __init__(
        self,
        *,
        bucket: str | None = DEFAULT_BUCKET,
        key: AccessKey = DEFAULT_KEY,
        volumes: int = 24,
        volume_mb: int = 64,
    ) -> None:
        self.bucket_name = bucket
        self.volumes = volumes
        self.volume_mb = volume_mb
        self.key = key
        self.workspace = Workspace("s3")
        self._leases: dict[str, PortLease] = {name: lease_port() for name in LISTENERS}
        for path in self.sockets:
            self.workspace.adopt(path)
        self._full = False
        self._process = self._new_process(full=False)

    @property
    def endpoint(self) -> str:
        """URL of the S3 API."""
        return f"http://{self._leases['s3.port'].address}"

    @property
    def sockets(self) -> list[Path]:
        """Sockets that weed makes there whatever TMPDIR says."""
        names = {name: lease.port for name, lease in self._leases.items() if name.endswith(".grpc")}
        return [Path(f"/tmp/seaweedfs-{name.partition('.')[0]}-grpc-{port}.sock") for name, port in names.items()]

    def _new_process(self, *, full: bool) -> Process:
        folder = self.workspace.path
        options: dict[str, str | int] = {
            "ip": self._leases["s3.port"].host,
            "ip.bind": self._leases["s3.port"].host,
            "dir": str(self.workspace.folder("data")),
            "master.volumeSizeLimitMB": self.volume_mb,
            "master.telemetry": "false",
            "master.electionTimeout": "1s",
            "volume.preStopSeconds": 0,
            "volume.max": self.volumes,
            "volume.minFreeSpace": "100" if full else "0",  # per cent
            "filer.localSocket": str(folder / "filer.sock"),
            "s3": "true",
            "s3.config": str(self._write_identities()),
            "s3.localSocket": str(folder / "s3.sock"),
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            **{name: lease.port for name, lease in self._leases.items()},
        }
        return Process(
            name=f"SeaweedFS ({self.endpoint})",
            command=[
                weed_binary(),
                "-logtostderr=true",
                "server",
                *(f"-{name}={value}" for name, value in options.items()),
            ],
            log_path=folder / "weed.log",
            environment={**os.environ, "TMPDIR": str(self.workspace.folder("tmp"))},
            cwd=folder,  # it looks for configuration in its working folder first
            stop_timeout=1,  # it waits for its own clients; what it took is in the page cache already
        )

    def _write_identities(self) -> Path:
        path = self.workspace.path / "identities.json"
        credentials = [{"accessKey": self.key.access_key, "secretKey": self.key.secret_key}]
        identity = {"name": "admin", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List"]}
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [identity]}))
        return path

    # Life

    def start(self) -> S3Store:
        """Start it, on the data that is there, and wait until it takes a signed request. Returns itself.

        :raises MongoBackupError: it did not come up.
        """
        began = time.monotonic()
        try:
            self._process.start()
            self._process.wait_ready(self._answers, interval=0.1)
            if self.bucket_name and not self._full:
                self.bucket(self.bucket_name)
        except BaseException:
            self.close()
            raise
        logger.info("S3 store is up at %s after %.1f s", self.endpoint, time.monotonic() - began)
        return self

    def stop(self) -> None:
        """Stop it: the store is away, connections are refused. Its data stay."""
        self._process.stop()

    def pause(self) -> None:
        """Freeze it: connections are taken and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._process.resume()

    def set_full(self, full: bool) -> None:
        """Restart it as a store whose disk is full (what is there can be read, nothing written), or no longer."""
        self.stop()
        self._full = full
        self._process = self._new_process(full=full)
        self._process.start()
        self._process.wait_ready(self._answers, interval=0.1)

    def close(self) -> None:
        """Kill it, remove its data, give the ports back. May be called again."""
        self._process.kill()
        self.workspace.remove()
        for lease in self._leases.values():
            lease.release()

    def __enter__(self) -> S3Store:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Use

    def client(self, *, key: AccessKey | None = None, **options: Any) -> Any:
        """Return a boto3 S3 client with this key, else the administrator's."""
        key = key or self.key
        quick: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 20, "retries": {"max_attempts": 1}}
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=key.access_key,
            aws_secret_access_key=key.secret_key,
            config=Config(s3={"addressing_style": "path"}, **(quick | options)),
        )

    def _answers(self) -> bool:
        try:
            self.client(connect_timeout=1, read_timeout=5).list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return True

    def bucket(self, name: str) -> str:
        """Make a bucket that can be written to (or find it); return its name."""
        client = self.client()
        existing = {each["Name"] for each in client.list_buckets()["Buckets"]}
        if name not in existing:
            client.create_bucket(Bucket=name)
        wait_until(lambda: self._writable(name), what=f"bucket {name} takes an object", interval=0.2)
        return name

    def _writable(self, bucket: str) -> bool:
        client = self.client()
        try:
            client.put_object(Bucket=bucket, Key=".sandbox", Body=b"ready")
            client.delete_object(Bucket=bucket, Key=".sandbox")
        except (BotoCoreError, ClientError):
            return False
        return True

    def restic_repository(self, *, bucket: str | None = None, prefix: str = "") -> str:
        """Return the location as restic wants it: `s3:http://host:port/bucket/prefix`."""
        return f"s3:{self.endpoint}/{bucket or self.bucket_name}" + (f"/{prefix}" if prefix else "")

    def environment(self) -> dict[str, str]:
        """Return the key as the variables that restic and the AWS tools read."""
        return {
            "AWS_ACCESS_KEY_ID": self.key.access_key,
            "AWS_SECRET_ACCESS_KEY": self.key.secret_key,
            "AWS_DEFAULT_REGION": REGION,
        }
