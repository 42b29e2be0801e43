"""A sharded cluster, a repository and a live Airflow; ways to disturb a run; and what must be true after it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal
from mongo_backup.locks.fsync import is_locked
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.loader import load_directory
from mongo_backup.repository.restic import Repository
from sandbox.airflow import Airflow
from sandbox.airflow_client import AirflowClient
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.deployment import Deployment
from sandbox.faults.agents import alive, is_agent, request_of
from sandbox.listener import Listener
from sandbox.mailbox import Mailbox
from sandbox.pushgateway import Pushgateway
from sandbox.waiting import wait_until

CONFIGURATION = "rows"
STEP_SECONDS = 2.0
"""How long each read of the slow collection takes while `slow_reads` is on."""
PATIENCE = 600.0
"""How long anything is waited for: a machine may be busy with other things."""


def slow_database(shard: str) -> str:
    """The database of a shard whose collection `documents` can be made slow to read."""
    return f"slow_{shard}"


@dataclass
class Stage:
    """Everything a test of a running backup needs."""

    cluster: ShardedCluster
    airflow: Airflow
    credentials: Credentials
    objects: Path
    listener: Listener | None = None
    """What the configuration `single` tells of its runs comes here; None: on a stage of other servers."""
    mailbox: Mailbox | None = None
    pushgateway: Pushgateway | None = None

    @property
    def client(self) -> AirflowClient:
        """The REST API."""
        return self.airflow.client

    # Disturb

    @contextlib.contextmanager
    def slow_reads(self, component: str | None = None) -> Iterator[None]:
        """Let every read of the slow collection take seconds: a dump that is sure to be running when it is disturbed.

        :param component: only in this shard.
        """
        with contextlib.ExitStack() as stack:
            for shard in [component] if component else self.cluster.shard_names:
                data = {
                    "failCommands": ["find", "getMore"],
                    "namespace": f"{slow_database(shard)}.documents",
                    "blockConnection": True,
                    "blockTimeMS": int(STEP_SECONDS * 1000),
                }
                stack.enter_context(self.fail_point(data, *self.cluster.hosts(shard)))
            yield

    @contextlib.contextmanager
    def fail_point(self, data: dict[str, Any], *hosts: str, deployment: Deployment | None = None) -> Iterator[None]:
        """Switch the server's fail point `failCommand` on, on these members.

        :param deployment: theirs, if it is not the cluster.
        """
        clients = [(deployment or self.cluster).client(host=host) for host in hosts]
        command = {"configureFailPoint": "failCommand"}
        for client in clients:
            client.admin.command({**command, "mode": "alwaysOn", "data": data})
        try:
            yield
        finally:
            for client in clients:
                client.admin.command({**command, "mode": "off"})

    def agents(self, step: str) -> list[psutil.Process]:
        """Living agents of a step, such as `backup.dump`."""
        return [one for one in self._descendants() if is_agent(one, step)]

    def agent_of(self, component: str) -> psutil.Process:
        """The agent that dumps this component. Its parents: the guard, the task's process, the worker."""
        (found,) = (one for one in self.agents("backup.dump") if request_of(one)["component"] == component)
        return found

    def _descendants(self) -> list[psutil.Process]:
        keeper = self.airflow.components["scheduler"].pid
        return psutil.Process(keeper).children(recursive=True) if keeper else []

    def wait_agents(self, step: str, count: int = 1, *, timeout: float = PATIENCE) -> list[psutil.Process]:
        """Wait until so many agents of the step are at work."""

        def enough() -> list[psutil.Process] | None:
            found = self.agents(step)
            return found if len(found) >= count else None

        return wait_until(enough, what=f"{count} agents of {step} are at work", timeout=timeout, interval=0.1)

    def kill_run(self, dag: str) -> None:
        """Pause the DAG and SIGKILL every agent, its guard and its task's process: nobody undoes anything."""
        victims: list[psutil.Process] = []
        for agent in self.agents("backup.dump"):
            with contextlib.suppress(psutil.NoSuchProcess):  # the config server is read in a moment
                chain = [agent, *agent.parents()[:2]]
                for one in chain:  # one that saw another's end would begin to undo
                    one.suspend()
                victims += chain
        self.client.pause(dag)
        for one in victims:
            one.kill()
        wait_gone(*victims)

    def end_leases(self) -> None:
        """As if the time of every lease had passed: nobody wants to wait for it here."""
        journal = self.cluster.client(component=CONFIG).admin.mongo_backup_journal
        journal.update_many({}, [{"$set": {"expires": "$$NOW"}}])

    def watch(self) -> str:
        """Run the watchdog; return what it logged of the cluster."""
        dag = "release_locks"
        self.client.wait_for_dag(dag)
        run = self.client.trigger(dag)
        assert self.client.wait(dag, run, timeout=PATIENCE) == "success", self.client.states(dag, run)
        name = self.binding().name
        (task,) = (one for one in self.client.tasks(dag, run) if one.label == name)
        return self.client.log(dag, run, task.name)

    # Look

    def binding(self) -> AppBinding:
        """The target."""
        return AppBinding.model_validate(self.cluster.app_binding())

    def marks(self) -> list[str]:
        """What is left on the target that no backup may leave there."""
        marks: list[str] = []
        with Connector(binding=self.binding(), credentials=self.credentials, timeout_seconds=5) as connector:
            marks += [f"{host} is locked" for host in self.cluster.hosts() if is_locked(connector, host)]
            marks += [f"journal: {entry}" for entry in Journal(connector).entries()]
        for host in self.cluster.hosts():
            command = {"getParameter": 1, "minSnapshotHistoryWindowInSeconds": 1}
            window = self.cluster.client(host=host).admin.command(command)["minSnapshotHistoryWindowInSeconds"]
            marks += [f"{host} keeps history for {window} s"] if window != self.window else []
        if self.balancer() != "full":
            marks.append(f"the balancer is {self.balancer()}")
        return marks

    window = 300
    """The server's default of `minSnapshotHistoryWindowInSeconds`."""

    def balancer(self) -> str:
        """Mode of the balancer, as `config.settings` has it: nothing there means on."""
        found = self.cluster.client(component=CONFIG).config.settings.find_one({"_id": "balancer"}) or {}
        return "off" if found.get("stopped") else str(found.get("mode", "full"))

    def locked(self) -> list[str]:
        """Members that are locked now."""
        with Connector(binding=self.binding(), credentials=self.credentials, timeout_seconds=5) as connector:
            return [host for host in self.cluster.hosts() if is_locked(connector, host)]

    def complete_sets(self) -> set[str]:
        """Ids of the complete sets in the repository."""
        resolved = load_directory(self.objects).resolve(CONFIGURATION)
        with Repository.of(
            configuration=resolved.configuration, storage=resolved.storage, credentials=self.credentials
        ) as repository:
            return {entry.set_id for entry in SetCatalog.read(repository).complete()} if repository.exists() else set()

    # Run

    def wait_quiet(self, *, timeout: float = PATIENCE) -> None:
        """Wait until no run is under way: what a failed test left must not fail the next one too."""

        def quiet() -> bool:
            states = ("running", "queued")
            found = self.client.request("GET", "dags/~/dagRuns", params={"state": states, "limit": 1})
            return not found["dag_runs"]

        wait_until(quiet, what="no run is under way", timeout=timeout, interval=0.5)

    def start(self, session: str) -> tuple[str, str]:
        """Trigger a backup; return the DAG's and the run's id."""
        dag = f"backup.{CONFIGURATION}.{session}"
        self.client.wait_for_dag(dag)
        return dag, self.client.trigger(dag)

    def start_and_wait_for_dumps(self, session: str = "main", *, count: int = 3) -> tuple[str, str]:
        """Trigger a backup and wait until so many dumps are being made (call it within `slow_reads`)."""
        dag, run = self.start(session)
        self.client.wait_task(dag, run, "lock_secondaries", "success", timeout=PATIENCE)
        self.wait_agents("backup.dump", count)
        return dag, run

    def explain(self, dag: str, run: str) -> str:
        """All that helps to understand a run that went another way."""
        lines = [f"{task.name}: {task.state}, try {task.tries}" for task in self.client.tasks(dag, run)]
        return "\n".join([*lines, "finish says:", self.client.log(dag, run, "finish")[-2000:]])


def wait_gone(*processes: psutil.Process, timeout: float = PATIENCE) -> float:
    """Wait until processes have ended; return the seconds."""
    began = time.monotonic()
    wait_until(
        lambda: not any(alive(one) for one in processes),
        what=f"processes {', '.join(str(one.pid) for one in processes)} have ended",
        timeout=timeout,
    )
    return time.monotonic() - began
