"""What pods add to a run: the same backup by the local runner, with the long steps in pods, and with all steps in pods.

``python tests/benchmark/pods_and_processes.py``: root, and what `make test-kubernetes` needs. One Airflow, one cluster,
each configuration twice in turn; the second, quicker round counts, since the first makes the repositories.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

from sandbox import objects
from sandbox.cluster import ShardedCluster
from sandbox.kubernetes.ready import EXECUTION, airflow_settings, ready_cluster
from sandbox.ports import listening_on
from sandbox.seed import seed
from sandbox.stack import Stack

EXECUTIONS: dict[str, dict[str, Any]] = {
    "processes": {"runner": "local"},
    "dumps in pods": {**EXECUTION, "control_steps": "worker"},
    "dumps in pods, not deferred": {**EXECUTION, "control_steps": "worker", "deferrable": False},
    "all in pods": dict(EXECUTION),
    "all in pods, not deferred": {**EXECUTION, "deferrable": False},
}
ROUNDS = 2
RUN_SECONDS = 1800


def name_of(title: str) -> str:
    """As a configuration's name."""
    return title.replace(",", "").replace(" ", "-")


def backup(stack: Stack, title: str) -> tuple[float, dict[str, float]]:
    """Seconds from the first start to the last end, and those of each task (the longest of mapped ones)."""
    client, dag = stack.live.client, f"backup.{name_of(title)}.manual"
    client.wait_for_dag(dag)
    client.pause(dag, paused=False)
    run = client.trigger(dag)
    state = client.wait(dag, run, timeout=RUN_SECONDS)
    tasks = client.tasks(dag, run)
    if state != "success":
        raise SystemExit(f"{dag} is {state}: {[task.name for task in tasks if task.state == 'failed']}")
    times = [datetime.fromisoformat(text) for task in tasks for text in (task.start, task.end) if text]
    each: dict[str, float] = {}
    for task in tasks:
        each[task.task] = max(each.get(task.task, 0.0), task.seconds or 0.0)
    return (max(times) - min(times)).total_seconds(), each


def main() -> int:
    """Measure and print."""
    further = [
        objects.configuration(name=name_of(title), execution=execution) for title, execution in EXECUTIONS.items()
    ]
    with ready_cluster() as cluster:
        with listening_on(cluster.address):
            stack = Stack(
                deployment=ShardedCluster(),
                settings=airflow_settings(cluster),
                further=further,
                execution=dict(EXECUTION),
            )
        with stack:
            seed(stack.deployment, documents=3000)
            found = {}
            for _ in range(ROUNDS):
                for title in EXECUTIONS:
                    found[title] = backup(stack, title)
                    print(f"{title}: {found[title][0]:.1f} s", flush=True)
    base = found["processes"][0]
    for title, (seconds, each) in found.items():
        slowest = ", ".join(f"{task} {took:.1f}" for task, took in each.items())
        print(f"{title}: {seconds:.1f} s, {seconds - base:+.1f} s ({slowest})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
