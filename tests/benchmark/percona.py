"""The peer: Percona Backup for MongoDB, where `pbm` and `pbm-agent` are on PATH. It needs no mongos, as we do not.

An agent runs beside each mongod; `pbm` gives orders by documents in `admin` of the config server or the replica set.
https://docs.percona.com/percona-backup-mongodb/intro.html
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from types import TracebackType
from typing import Any

import yaml

from mongo_backup.errors import PermanentError
from sandbox.deployment import Deployment
from sandbox.processes import Process
from sandbox.s3 import REGION, S3Store
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace

PREFIX = "percona"
READY_SECONDS = 120.0
BACKUP_SECONDS = 1800


def here() -> bool:
    """Whether its programs are on PATH."""
    return all(shutil.which(name) for name in ("pbm", "pbm-agent"))


class Percona:
    """Its agents beside the members of a deployment, its backups in a folder of the store; `with` ends the agents."""

    def __init__(self, deployment: Deployment, store: S3Store) -> None:
        self._deployment, self._store = deployment, store
        self._workspace = Workspace("percona")
        self._agents = [self._agent(host) for host in deployment.hosts()]
        self._control = self._environment(deployment.uri())

    @staticmethod
    def _environment(uri: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return {**own, "PBM_MONGODB_URI": uri}

    def _agent(self, host: str) -> Process:
        uri = self._deployment.uri(host=host).replace("directConnection=true&", "")  # it looks for the primary as well
        return Process(
            name=f"pbm-agent of {host}",
            command=["pbm-agent"],
            environment=self._environment(uri),
            log_path=self._workspace.folder("logs") / f"{host}.log",
        )

    def __enter__(self) -> Percona:
        try:
            for agent in self._agents:
                agent.start()
            wait_until(self._all_there, what="all pbm-agents are there", timeout=READY_SECONDS, interval=0.5)
            self._configure()
            wait_until(self._all_well, what="all pbm-agents reach the store", timeout=READY_SECONDS, interval=0.5)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the agents and remove their files."""
        for agent in self._agents:
            agent.ask_to_stop()
        for agent in self._agents:
            agent.stop()
        self._workspace.remove()

    def _all_there(self) -> bool:
        for agent in self._agents:
            if not agent.running:
                raise PermanentError(f"{agent.name} ended; its log ends:\n{agent.tail()}")
        return self._deployment.client().admin.pbmAgents.count_documents({}) == len(self._agents)

    def _all_well(self) -> bool:
        """Until they say so, which they do every five seconds, none is nominated for a backup: it waits for that."""
        well = {"pbms.ok": True, "nodes.ok": True, "stors.ok": True}
        return self._deployment.client().admin.pbmAgents.count_documents(well) == len(self._agents)

    def _configure(self) -> None:
        key = self._store.key
        s3 = {
            "endpointUrl": self._store.endpoint,
            "forcePathStyle": True,
            "region": REGION,
            "bucket": self._store.bucket_name,
            "prefix": PREFIX,
            "credentials": {"access-key-id": key.access_key, "secret-access-key": key.secret_key},
        }
        file = self._workspace.path / "config.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump({"storage": {"type": "s3", "s3": s3}}))
        self._pbm("config", "--file", str(file), "--wait")

    def _pbm(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pbm", *arguments],
            env=self._control,
            capture_output=True,
            text=True,
            timeout=BACKUP_SECONDS,
            check=False,
        )
        if done.returncode:
            raise PermanentError(f"pbm {arguments[0]} failed: {done.stderr}{done.stdout}\n{self._agents[0].tail()}")
        return done.stdout

    def version(self) -> str:
        """Such as `2.15.0`."""
        return self._pbm("version", "--short").strip()

    def backup(self) -> float:
        """Make a logical backup as people do, to its end; its seconds.

        `pbm backup --wait` looks once a second whether it is done: the moment it is done is asked for here.
        """
        admin = self._deployment.client().admin
        wait_until(lambda: admin.pbmLock.find_one() is None, what="pbm is at rest", timeout=BACKUP_SECONDS)
        backups = admin.pbmBackups
        before = {each["name"] for each in backups.find({}, {"name": 1})}
        began = time.monotonic()
        self._pbm("backup")

        def ended() -> Any:
            return backups.find_one({"name": {"$nin": list(before)}, "status": {"$in": ["done", "error"]}})

        found = wait_until(ended, what="pbm's backup ends", timeout=BACKUP_SECONDS, interval=0.1)
        seconds = time.monotonic() - began
        if found["status"] != "done":
            raise PermanentError(f"pbm's backup failed: {found.get('error')}")
        return seconds
