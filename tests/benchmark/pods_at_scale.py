"""A backup of a target with 100 shards through the real scheduler, its steps in real pods; members are stand-ins.

``python tests/benchmark/pods_at_scale.py [--shards 100] [--parallel 16]``: root, and what `make test-kubernetes` needs.
Prints what `docs/how-to/kubernetes.md` says of it. Fails if more dumps ran at a time than `max_parallel_dumps`, or if
the run is not green, or if its commit did not see every dump.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from pydantic import SecretStr

from mongo_backup.credentials import Credential, Credentials
from sandbox import objects
from sandbox.airflow import Airflow
from sandbox.airflow_client import TaskRun
from sandbox.kubernetes import KubernetesCluster, agent_image
from sandbox.kubernetes.images import layer_of
from sandbox.kubernetes.ready import EXECUTION, MANIFESTS, NAMESPACE, airflow_settings
from sandbox.stack import BACKUP_DAG, LOCAL_SETTINGS

IMAGE = "sandbox.local/stand-in:1"
USER_CONNECTION = "stand-in-user"
RUN_SECONDS = 3600
LAUNCHER = f'#!/bin/sh\nexec python3 /{agent_image.SITE}/stand_in.py "$@"\n'


def app_binding(shards: int) -> dict[str, Any]:
    """A target of which no member exists."""

    def address(name: str) -> dict[str, Any]:
        hosts = [f"{name}-{number}.mongo.production.svc.example.com:27018" for number in range(3)]
        return {"replica_set": name, "hosts": hosts}

    spec = {
        "topology": "sharded",
        "config_server": address("config"),
        "shards": {f"shard{number:03}": address(f"shard{number:03}") for number in range(shards)},
        "credentials": {"connection": USER_CONNECTION},
    }
    return {**objects.API, "kind": "AppBinding", "metadata": {"name": "sandbox"}, "spec": spec}


def addon() -> dict[str, Any]:
    """Functions that run the stand-in."""
    names = ("control", "backup", "maintain", "restore", "verify")
    functions = {name: {"image": IMAGE, "image_pull_policy": "Never"} for name in names}
    return {**objects.API, "kind": "Addon", "metadata": {"name": "stand-in"}, "spec": {"functions": functions}}


def load_stand_in(cluster: KubernetesCluster, folder: Path) -> None:
    """The agent image, with a layer upon it that changes what the steps do."""
    root = folder / "stand-in"
    launcher, module = root / "usr/local/bin/mongo-backup", root / agent_image.SITE / "stand_in.py"
    for file in (launcher, module):
        file.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    module.write_text(Path(__file__).with_name("stand_in.py").read_text())
    layers = [*agent_image.agent_layers(), layer_of(root, folder / "stand-in.tar")]
    cluster.load_image(
        IMAGE,
        layers=layers,
        entrypoint=agent_image.ENTRYPOINT,
        environment=agent_image.ENVIRONMENT,
        user=agent_image.USER,
    )


class Watch:
    """Counts pods of dumps and measures Airflow's components while the run is on its way."""

    def __init__(self, cluster: KubernetesCluster, airflow: Airflow) -> None:
        self.most_pods = 0
        self.memory: dict[str, float] = {}
        self._cluster, self._airflow, self._over = cluster, airflow, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(1):
            pods = self._cluster.core.list_namespaced_pod(NAMESPACE, label_selector="mongo-backup/step=backup.dump")
            working = [pod for pod in pods.items if pod.status.phase in ("Pending", "Running")]
            self.most_pods = max(self.most_pods, len(working))
            for name, process in self._airflow.components.items():
                if process.pid and psutil.pid_exists(process.pid):
                    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                    megabytes = sum(_own_memory(each) for each in family) / 1e6
                    self.memory[name] = max(self.memory.get(name, 0), megabytes)


def _own_memory(process: psutil.Process) -> int:
    """What forked processes share counts once."""
    try:
        return int(process.memory_full_info().uss)
    except psutil.Error:
        return 0


def seconds(first: str | None, last: str | None) -> float:
    """Between two moments of Airflow's."""
    return (datetime.fromisoformat(last or "") - datetime.fromisoformat(first or "")).total_seconds()


def most_at_a_time(tasks: list[TaskRun]) -> int:
    """Of tasks between their start and their end, deferred or not."""
    moments = sorted([(task.start or "", 1) for task in tasks] + [(task.end or "", -1) for task in tasks])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most


def xcom_sizes(path: Path) -> dict[str, int]:
    """The largest XCom of each task, in bytes."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        rows = database.execute("select task_id, max(length(value)) from xcom group by task_id").fetchall()
    return {str(task): int(size) for task, size in rows}


def report(airflow: Airflow, run: str, watch: Watch, took: float, given: argparse.Namespace) -> bool:
    """Print the figures; whether all is as it should be."""
    tasks = airflow.client.tasks(BACKUP_DAG, run)
    dumps = [task for task in tasks if task.task == "dump"]
    control = [task.seconds or 0 for task in tasks if task.task != "dump"]
    at_a_time = most_at_a_time(dumps)
    print(f"run: {took:.0f} s; {len(dumps)} dumps, {len(tasks)} tasks in all")
    print(f"dumps: first to last {seconds(dumps[0].start, max(task.end or '' for task in dumps)):.0f} s")
    print(f"one dump (5 s of work): median {statistics.median(task.seconds or 0 for task in dumps):.1f} s")
    print(f"one control step: median {statistics.median(control):.1f} s")
    print(f"at a time: {at_a_time} dump tasks, {watch.most_pods} of their pods (max_parallel_dumps {given.parallel})")
    sizes = xcom_sizes(airflow.home / "airflow.db")
    print(f"XCom: {sum(sizes.values()) / 1e3:.0f} kB; " + ", ".join(f"{task} {size}" for task, size in sizes.items()))
    print("memory: " + ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in watch.memory.items()))
    again = [task.name for task in tasks if task.tries > 1]
    print(f"tried again: {', '.join(again) or 'none'}")
    whole = len(dumps) == given.shards + 1 == airflow.client.result(BACKUP_DAG, run, "commit_snapshot")["documents"]
    return whole and at_a_time <= given.parallel and watch.most_pods <= given.parallel


def main() -> int:
    """Run the simulation; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=16)
    given = parser.parse_args()
    values = {
        f"connection:{USER_CONNECTION}": Credential(username="backup", password=SecretStr("stand-in")),
        f"connection:{objects.ENCRYPTION_CONNECTION}": Credential(password=SecretStr("stand-in")),
    }
    with tempfile.TemporaryDirectory(prefix="mongo-backup-scale-") as name, KubernetesCluster() as cluster:
        folder = Path(name)
        cluster.apply(MANIFESTS)
        load_stand_in(cluster, folder)
        execution = {**EXECUTION, "start_timeout": "10m", "max_parallel_dumps": given.parallel}
        objects.write_objects(
            folder / "objects",
            app_binding(given.shards),
            addon(),
            objects.local_storage(folder),
            objects.configuration(execution=execution, addon={"name": "stand-in"}),
        )
        with Airflow(
            objects=folder / "objects",
            credentials=Credentials(values=values),
            settings=airflow_settings(cluster),
            local_settings=LOCAL_SETTINGS,
        ) as airflow:
            airflow.client.wait_for_dag(BACKUP_DAG)
            airflow.client.pause(BACKUP_DAG, paused=False)
            began = time.monotonic()
            with Watch(cluster, airflow) as watch:
                run = airflow.client.trigger(BACKUP_DAG)
                state = airflow.client.wait(BACKUP_DAG, run, timeout=RUN_SECONDS)
            took = time.monotonic() - began
            if state != "success":
                failed = [task for task in airflow.client.tasks(BACKUP_DAG, run) if task.state == "failed"][:3]
                for task in failed:
                    print(f"--- {task.name}\n{airflow.client.log(BACKUP_DAG, run, task.name)[-3000:]}")
            return 0 if report(airflow, run, watch, took, given) and state == "success" else 1


if __name__ == "__main__":
    sys.exit(main())
