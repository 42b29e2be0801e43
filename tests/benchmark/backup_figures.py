"""A backup of a sharded cluster through a real Airflow, in figures: each beside its goal.

    python tests/benchmark/backup_figures.py [--megabytes 600] [--document 300] [--collections 4]

Two shards and a config server of three members each, SeaweedFS, the local runner. The same data twice: the second time
next to nothing may go to the store. Then Percona Backup for MongoDB, where `pbm` and `pbm-agent` are on PATH: a logical
backup of the same data into the same store, with Airflow stopped; it neither encrypts nor deduplicates. All share the
machine's processors: what a figure is worth depends on what else they do.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import percona
from dag_folder import CONFIGURATIONS, GOALS, load_times
from measuring import DB, fill
from memory import Peaks

from mongo_backup.manifest.model import Manifest
from sandbox.airflow_client import TaskRun
from sandbox.cluster import ShardedCluster
from sandbox.demo import manifest_of
from sandbox.demo_life import run_dag
from sandbox.report import say, show_manifest
from sandbox.sharding import create_database
from sandbox.stack import BACKUP_DAG, Stack

RUN_SECONDS = 1800
COMMIT = "commit_snapshot"
WORDS, TEXT_WORDS = 4000, 2_000_000


@dataclass(frozen=True)
class Backup:
    """One run of the backup's DAG."""

    manifest: Manifest
    committed_after: float
    """Seconds from the order to the committed snapshot."""
    idle: float
    """Seconds of the whole run in which no task was at work."""
    uploaded: int
    """Bytes that the store has more."""


def tell(what: str, value: float, unit: str, goal: float | None = None) -> None:
    """One line; all goals are upper bounds."""
    digits = 3 if value < 1 else 2 if value < 10 else 1
    against = "" if goal is None else f"(goal {goal:g}: {'reached' if value <= goal else 'MISSED'})"
    print(f"{what:74} {value:9.{digits}f} {unit:5} {against}".rstrip(), flush=True)


def prose() -> str:
    """Words of no language: they compress about as text does."""
    dice = random.Random(2)
    words = ["".join(dice.choices("etaoinshrdlu", k=dice.randint(2, 8))) for _ in range(WORDS)]
    return " ".join(dice.choices(words, k=TEXT_WORDS))


def fill_shards(cluster: ShardedCluster, given: argparse.Namespace) -> float:
    """An equal part of the documents on each shard, in a database of its own; megabytes."""
    size, text = 0.0, prose()
    for shard in cluster.shard_names:
        database = f"{DB}_{shard}"
        create_database(cluster, database, primary_shard=shard)
        size += fill(
            cluster.admin_client(shard),
            megabytes=given.megabytes // len(cluster.shard_names),
            document=given.document,
            collections=given.collections,
            database=database,
            text=text,
        )
    cluster.wait_for_replication()
    return size


def stored(stack: Stack) -> int:
    """Bytes in the store."""
    pages = stack.store.client().get_paginator("list_objects_v2").paginate(Bucket=stack.store.bucket_name)
    return sum(each["Size"] for page in pages for each in page.get("Contents", ()))


def moment(text: str | None) -> datetime:
    """A time of Airflow's."""
    return datetime.fromisoformat(text or "")


def idle_seconds(began: datetime, tasks: Sequence[TaskRun]) -> float:
    """Seconds from the order to the end of the last task in which none was at work."""
    idle, until = 0.0, began
    for start, end in sorted((moment(task.start), moment(task.end)) for task in tasks if task.start and task.end):
        idle += max(0.0, (start - until).total_seconds())
        until = max(until, end)
    return idle


def back_up(stack: Stack) -> Backup:
    """Order a backup by the REST API and wait for its end."""
    before, began = stored(stack), datetime.now(UTC)
    run = run_dag(stack, BACKUP_DAG, seconds=RUN_SECONDS)
    client = stack.live.client
    tasks = client.tasks(BACKUP_DAG, run)
    committed = next(task for task in tasks if task.task == COMMIT)
    manifest = manifest_of(stack, client.result(BACKUP_DAG, run, COMMIT)["set_id"])
    show_manifest(manifest)
    return Backup(
        manifest=manifest,
        committed_after=(moment(committed.end) - began).total_seconds(),
        idle=idle_seconds(began, tasks),
        uploaded=stored(stack) - before,
    )


def report(first: Backup, second: Backup, peaks: Peaks) -> None:
    """Print what both runs tell."""
    for title, each in (("first", first), ("second", second)):
        tell(f"{title} backup, order to committed snapshot", each.committed_after, "s")
        tell(f"{title} backup, waits between tasks", each.idle, "s", 8)
        for component in each.manifest.components:
            if component.locked_seconds is not None:
                before = component.locked_seconds - component.read_seconds
                tell(f"{title} backup, {component.name} locked before its dump began", before, "s")
                ratio = component.locked_seconds / component.read_seconds
                tell(f"{title} backup, {component.name} locked / time to read", ratio, "", 1.2)
        if each.manifest.lock_skew_seconds is not None:
            tell(f"{title} backup, skew of locks", each.manifest.lock_skew_seconds, "s", 0.25)
    tell("first backup, uploaded / size of the data", 100 * first.uploaded / first.manifest.bytes, "%")
    tell("second backup, uploaded / size of the data", 100 * second.uploaded / second.manifest.bytes, "%", 0.1)
    tell("peak memory of an agent", peaks.megabytes["agent"], "MB", 300)
    tell("peak memory of a restic", peaks.megabytes["restic"], "MB")


def report_loads(stack: Stack) -> None:
    """Print how long DAGs take to load."""
    for what, run in load_times(stack).items():
        tell(
            f"loading {what}, {CONFIGURATIONS} configurations, processor time", run.processor_seconds, "s", GOALS[what]
        )


def report_peer(cluster: ShardedCluster, stack: Stack, own: float) -> None:
    """Print what the peer takes, and how we do beside it."""
    if not percona.here():
        print("Percona Backup for MongoDB is not measured: there is no pbm and pbm-agent on PATH")
        return
    with percona.Percona(cluster, stack.store) as peer:
        theirs = [peer.backup() for _ in range(2)]
        print(f"Percona Backup for MongoDB {peer.version()}, twice")
    for seconds in theirs:
        tell("its logical backup, order to done", seconds, "s")
    tell("our first backup / its better one", own / min(theirs), "", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("megabytes", 600), ("document", 300), ("collections", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    # A lock needs an oplog that holds far more than the time it lasts; filling goes through the oplog too.
    cluster = ShardedCluster(oplog_mb=4 * given.megabytes)
    with Stack(deployment=cluster) as stack:
        size = fill_shards(cluster, given)
        say(f"{size:.0f} MB on {len(cluster.shard_names)} shards")
        with Peaks(stack.live) as peaks:
            first, second = back_up(stack), back_up(stack)
        stack.live.close()  # the peer has the machine for itself, as the backups had
        print(f"\n{size:.0f} MB in documents of {given.document} bytes on {len(cluster.shard_names)} shards")
        report(first, second, peaks)
        report_loads(stack)
        report_peer(cluster, stack, first.committed_after)


if __name__ == "__main__":
    main()
