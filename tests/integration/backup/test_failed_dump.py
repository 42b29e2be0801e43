"""A dump that dies in the middle leaves no snapshot, no lock, the balancer as it was; a fresh backup works at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.integration.backup.conftest import ObjectsFor

from mongo_backup.agent.contract import BalancerResult, CommitResult, Envelope, MembersResult, PrepareResult
from mongo_backup.credentials import CREDENTIALS_VARIABLE, Credentials
from mongo_backup.errors import ExitCode, PreconditionError
from mongo_backup.objects.resolved import Objects
from sandbox.cluster import ShardedCluster
from sandbox.faults.judge import nothing_is_held, snapshots
from sandbox.inline import InlineBackup
from sandbox.objects import credentials_document
from sandbox.sharding import create_database
from sandbox.waiting import wait_until

DOCUMENTS = 4000  # more than a first batch: the second one is where the dump is held up
BLOCKED_SECONDS = 20


@pytest.fixture(scope="module")
def cluster() -> Iterator[ShardedCluster]:
    """One shard with enough documents, whose servers take fail points."""
    with ShardedCluster(shards=1, parameters={"enableTestCommands": 1}) as deployment:
        create_database(deployment, "shop", primary_shard="shard0")
        big = deployment.admin_client("shard0").shop.big
        big.insert_many([{"_id": number, "text": "x" * 500} for number in range(DOCUMENTS)])
        deployment.wait_for_replication()
        yield deployment


@dataclass
class Dump:
    """A dump by a real agent process, held up in the middle of its reading."""

    agent: subprocess.Popen[bytes]
    result: Path
    host: str
    """The member that is read."""

    def restic(self) -> psutil.Process:
        """The restic that it feeds."""

        def look() -> psutil.Process | None:
            children = psutil.Process(self.agent.pid).children(recursive=True)
            return next((child for child in children if child.name() == "restic"), None)

        return wait_until(look, what="the agent has started restic")

    def envelope(self) -> Envelope:
        """How the agent ended."""
        self.agent.wait(60)
        return Envelope.model_validate_json(self.result.read_text())


@contextmanager
def held_up(
    cluster: ShardedCluster, objects: Objects, credentials: Credentials, folder: Path
) -> Iterator[tuple[InlineBackup, Dump]]:
    """Run a backup up to the middle of the dump of shard0; the teardowns run at the end, as in the DAG."""
    backup = InlineBackup(objects=objects, credentials=credentials)
    with ExitStack() as teardowns:
        teardowns.callback(backup.release, "finish")
        backup.prepared = backup.step("prepare", PrepareResult)
        backup.step("disable_balancer", BalancerResult)
        teardowns.callback(backup.release, "enable_balancer")
        backup.members = backup.step("identify_secondaries", MembersResult).members
        backup.hold(teardowns)
        host = next(member.host for member in backup.members if member.component == "shard0")
        admin = cluster.admin_client("shard0", host).admin
        data = {"failCommands": ["getMore"], "blockConnection": True, "blockTimeMS": BLOCKED_SECONDS * 1000}
        entered = admin.command(
            "configureFailPoint", "failCommand", mode="alwaysOn", data={**data, "appName": "mongo-backup"}
        )
        try:
            dump = start_dump(backup, credentials, folder, host)
            try:
                admin.command("waitForFailPoint", "failCommand", timesEntered=entered["count"] + 1, maxTimeMS=30_000)
                yield backup, dump
            finally:
                dump.agent.kill()
                dump.agent.wait()
        finally:
            if cluster.component_of(host).mongod(host).running:
                admin.command("configureFailPoint", "failCommand", mode="off")


def start_dump(backup: InlineBackup, credentials: Credentials, folder: Path, host: str) -> Dump:
    """Start `mongo-backup agent backup.dump` of shard0."""
    request, result, secret = folder / "request.json", folder / "result.json", folder / "credentials.json"
    request.write_text(backup.request(component="shard0").model_dump_json())
    secret.touch(0o600)
    secret.write_text(credentials_document(credentials))
    command = [sys.executable, "-m", "mongo_backup", "agent", "backup.dump"]
    command += ["--request", str(request), "--result", str(result)]
    agent = subprocess.Popen(command, env={**os.environ, CREDENTIALS_VARIABLE: str(secret)}, stdin=subprocess.DEVNULL)
    return Dump(agent=agent, result=result, host=host)


CredentialsFor = Callable[[ShardedCluster], Credentials]


def gone(process: psutil.Process) -> None:
    """Wait until a process has ended."""
    wait_until(lambda: not process.is_running(), what=f"process {process.pid} has ended", timeout=30)


def judge(cluster: ShardedCluster, objects: Objects, credentials: Credentials) -> None:
    """Nothing is left, no snapshot is there, and a fresh backup works at once."""
    nothing_is_held(cluster, objects, credentials)
    assert snapshots(objects, credentials) == ()
    InlineBackup(objects=objects, credentials=credentials).run()


@pytest.mark.long
def test_restic_is_killed(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor, tmp_path: Path
) -> None:
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    with held_up(cluster, objects, credentials, tmp_path) as (_, dump):
        dump.restic().kill()
        cluster.admin_client("shard0", dump.host).admin.command("configureFailPoint", "failCommand", mode="off")
        envelope = dump.envelope()
    assert not envelope.ok
    assert "restic" in (envelope.message or "")
    judge(cluster, objects, credentials)


def test_the_agent_is_killed(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor, tmp_path: Path
) -> None:
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    with held_up(cluster, objects, credentials, tmp_path) as (_, dump):
        restic = dump.restic()
        dump.agent.kill()
        gone(restic)
        assert not dump.result.exists()
    judge(cluster, objects, credentials)


@pytest.mark.long
def test_the_agent_is_asked_to_end(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor, tmp_path: Path
) -> None:
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    with held_up(cluster, objects, credentials, tmp_path) as (_, dump):
        restic = dump.restic()
        dump.agent.send_signal(signal.SIGTERM)
        envelope = dump.envelope()
        assert envelope.exit_code is ExitCode.INTERRUPTED
        gone(restic)
        # by the agent itself, before any teardown
        admin = cluster.admin_client("shard0", dump.host).admin
        assert not admin.command("currentOp").get("fsyncLock")
    judge(cluster, objects, credentials)


@pytest.mark.long
def test_the_member_is_killed(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor, tmp_path: Path
) -> None:
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    with held_up(cluster, objects, credentials, tmp_path) as (_, dump):
        cluster.kill_member(dump.host)
        envelope = dump.envelope()
        assert not envelope.ok
        assert dump.host in (envelope.message or "")
        cluster.start_member(dump.host)
    judge(cluster, objects, credentials)


@pytest.mark.long
def test_the_member_hangs_and_the_agent_is_asked_to_end(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor, tmp_path: Path
) -> None:
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    with held_up(cluster, objects, credentials, tmp_path) as (_, dump):
        cluster.pause_member(dump.host)
        try:
            dump.agent.send_signal(signal.SIGTERM)
            assert dump.envelope().exit_code is ExitCode.INTERRUPTED
        finally:
            cluster.resume_member(dump.host)
    judge(cluster, objects, credentials)


def test_a_forgotten_commit_comes_too_late(
    cluster: ShardedCluster, objects_for: ObjectsFor, credentials_for: Callable[[ShardedCluster], Credentials]
) -> None:
    """A commit whose node was cut off wakes up when its run is over."""
    objects, credentials = objects_for(cluster), credentials_for(cluster)
    backup = InlineBackup(objects=objects, credentials=credentials)
    backup.run_dumps()
    backup.release("finish")
    with pytest.raises(PreconditionError, match="its run has ended"):
        backup.step("commit_snapshot", CommitResult)
    assert not [each for each in snapshots(objects, credentials) if each.tag("part") == "manifest"]
    nothing_is_held(cluster, objects, credentials)
