"""`make demo`: a sharded cluster under load is backed up by a DAG, destroyed, restored by a DAG, and compared.

Exit status 0 only when all of it is true.
"""

from __future__ import annotations

import argparse
import sys
import time

from bson import MaxKey
from pymongo.errors import PyMongoError

from mongo_backup.agent.restore_contract import VerifyResult
from mongo_backup.errors import MongoBackupError, VerificationError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import Manifest
from mongo_backup.manifest.store import read_manifest
from mongo_backup.repository.restic import Repository
from sandbox import demo_life
from sandbox.cluster import ShardedCluster
from sandbox.mongod import mongod_binary
from sandbox.report import say, show_manifest, show_verified
from sandbox.runners import RUNNERS, sharded_stack
from sandbox.seed import APPLICATION_USER, ORDERS, seed
from sandbox.sharding import move_range
from sandbox.stack import BACKUP_DAG, RESTORE_DAG, Stack
from sandbox.writers import ChainWriter, LoadWriter, read_chain

RUN_SECONDS = 600


def main() -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(description="Back up a sharded cluster under load, destroy it, restore it.")
    parser.add_argument("--runner", choices=RUNNERS, default=RUNNERS[0], help="where the steps run")
    runner = parser.parse_args().runner
    began = time.monotonic()
    try:
        session = {"retention_policy": {"name": "keep"}}
        arguments = {"session": session, "further": [demo_life.POLICY], "verification": {"mongod": mongod_binary()}}
        with sharded_stack(runner, pushgateway=True, **arguments) as (stack, cluster):
            say(f"Up after {time.monotonic() - began:.0f} s: 9 mongods, an S3 store, Airflow at {stack.live.url}")
            if runner == "kubernetes":
                say("Each step runs in a pod of a Kubernetes on this machine")
            second = _demo(stack, cluster)
            _life(stack, second, in_pods=runner == "kubernetes")
    except (MongoBackupError, PyMongoError) as error:
        say(f"[red]The demo failed: {error}[/red]")
        return 1
    say(f"[green]All of it is true.[/green] {time.monotonic() - began:.0f} s in all")
    return 0


def _demo(stack: Stack, cluster: ShardedCluster) -> Manifest:
    """Back up twice, destroy, restore, compare; the manifest of the second set."""
    seeded = seed(cluster, documents=20_000)
    say(f"Seeded {sum(seeded.counts.values())} documents; {seeded.orphans} more are orphans of a migration")
    with ChainWriter(cluster, pause=0.05) as chain, LoadWriter(cluster, pause=0.1):
        chain.wait_for(50)
        first = backup(stack, "first backup, under load")
        chain.wait_for(50)
        second = backup(stack, "second backup, triggered again by the REST API")
    require(first.set_id != second.set_id, "the second backup made the same set as the first")
    say("Destroying the cluster: every data folder is removed, nine empty mongods start")
    cluster.wipe_and_restart()
    verified = restore(stack, second)
    show_verified(verified)
    check_restored(cluster)
    return second


def _life(stack: Stack, newest: Manifest, *, in_pods: bool) -> None:
    """What goes on between backups."""
    say("Retention kept the newest set alone, as its policy says (last: 1)")
    if in_pods:
        say("The agent's image holds no mongod: verification is shown with RUNNER=local")
    else:
        demo_life.verify(stack, newest.set_id, seconds=RUN_SECONDS)
    demo_life.maintain(stack, seconds=RUN_SECONDS)
    demo_life.show_sets(stack)
    demo_life.show_metrics(stack, verified=not in_pods)


def backup(stack: Stack, title: str) -> Manifest:
    """Trigger the backup, wait for it, show it; its manifest."""
    say(f"Now the {title}")
    run = demo_life.run_dag(stack, BACKUP_DAG, seconds=RUN_SECONDS)
    manifest = manifest_of(stack, stack.live.client.result(BACKUP_DAG, run, "commit_snapshot")["set_id"])
    show_manifest(manifest)
    require(manifest.cluster_time is not None, "the set has no cluster time")
    return manifest


def restore(stack: Stack, manifest: Manifest) -> VerifyResult:
    """Restore a set into the empty cluster, wait, show; the comparison."""
    say(f"Now the restore of set {manifest.set_id}")
    conf = {"snapshot": manifest.set_id, "users": "merge"}
    run = demo_life.run_dag(stack, RESTORE_DAG, conf, seconds=RUN_SECONDS)
    return VerifyResult.model_validate(stack.live.client.result(RESTORE_DAG, run, "verify_restore"))


def manifest_of(stack: Stack, set_id: str) -> Manifest:
    """The manifest of a set, read from the store."""
    found = stack.resolve()
    with Repository.of(
        configuration=found.configuration, storage=found.storage, credentials=stack.credentials
    ) as repository:
        return read_manifest(repository, SetCatalog.read(repository).find(set_id))


def check_restored(cluster: ShardedCluster) -> None:
    """What the manifest cannot tell: the chain is whole, users log in, a chunk moves and loses nothing."""
    state = read_chain(cluster)
    state.check()
    say(f"The causal chain across both shards is whole: {len(state.first)} and {len(state.second)} links")
    cluster.client(component="config", user=APPLICATION_USER, authSource="shop").shop.command("ping")
    say(f"User {APPLICATION_USER.username} logs in with its old password")
    before = owned(cluster)
    move_range(cluster, ORDERS, low={"number": 6000}, high={"number": MaxKey()}, to_shard=cluster.shard_names[0])
    require(owned(cluster) == before, f"{ORDERS} had {before} orders before a chunk moved and {owned(cluster)} after")
    say(f"A chunk of {ORDERS} moved to another shard: still {before} orders")


def owned(cluster: ShardedCluster) -> int:
    """Distinct orders on all shards: neither lost nor doubled in what shards own."""
    numbers: set[int] = set()
    for shard in cluster.shard_names:
        numbers.update(cluster.admin_client(shard).shop.orders.distinct("number"))
    return len(numbers)


def require(condition: bool, problem: str) -> None:
    """Fail the demo unless the condition holds."""
    if not condition:
        raise VerificationError(problem)


if __name__ == "__main__":
    sys.exit(main())
