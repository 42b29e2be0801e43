from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient
from pymongo.errors import NetworkTimeout, ServerSelectionTimeoutError

from mongo_backup.errors import PermanentError
from mongo_backup.objects.app_binding import AppBinding
from sandbox.component import Member
from sandbox.mongod import Mongod, MongodOptions, accepts_connections
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.seed import APPLICATION_USER, Seeded, seed
from sandbox.tls import make_tls
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace
from sandbox.writers import ChainWriter, read_chain

pytestmark = pytest.mark.integration

OWNER = """
import time
from sandbox.replica_set import ReplicaSet
deployment = ReplicaSet(members=2, auth=False).start()
print(deployment.workspace.path, *[mongod.process.pid for mongod in deployment.component.mongods], flush=True)
time.sleep(600)
"""


def test_nothing_is_left_when_the_owner_of_a_replica_set_is_killed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    with owner.stdout as output:
        folder, *pids = output.readline().split()
    servers = [psutil.Process(int(pid)) for pid in pids]
    assert [server.name() for server in servers] == ["mongod", "mongod"]
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: not any(server.is_running() for server in servers), what="the servers are gone", timeout=30)
    wait_until(lambda: not Path(folder).exists(), what="the data are gone", timeout=30)


def test_a_seeded_replica_set_holds_what_the_seed_says(seeded_replica_set: tuple[ReplicaSet, Seeded]) -> None:
    deployment, seeded = seeded_replica_set
    host = deployment.secondaries("rs0")[0]
    client = deployment.client(host=host, readPreference="secondary")
    for namespace, wanted in seeded.counts.items():
        database, _, collection = namespace.partition(".")
        assert client[database][collection].count_documents({}) == wanted, namespace
    reader = deployment.client(user=APPLICATION_USER, authSource="shop")
    assert reader.shop.orders.find_one()
    assert AppBinding.model_validate(deployment.app_binding()).spec.replica_set


def test_the_seed_is_the_same_each_time(seeded_replica_set: tuple[ReplicaSet, Seeded], standalone: Standalone) -> None:
    deployment, _ = seeded_replica_set
    seed(standalone)
    for name in ("orders", "events", "customers", "kinds"):
        ours, theirs = (each.client().shop[name].find().sort("_id", 1) for each in (deployment, standalone))
        assert [repr(document) for document in ours] == [repr(document) for document in theirs]


def test_a_standalone_has_no_oplog_and_needs_a_password(standalone: Standalone) -> None:
    assert "setName" not in standalone.client().admin.command("hello")
    assert "oplog.rs" not in standalone.client().local.list_collection_names()
    assert AppBinding.model_validate(standalone.app_binding()).spec.hosts == (standalone.hosts()[0],)
    standalone.client().large.items.insert_one({"_id": 1, "x": b"x" * (16 * 1024 * 1024 - 100)})
    with ChainWriter(standalone) as writer:
        writer.wait_for(5)
    read_chain(standalone).check()


def test_members_have_the_parts_they_were_given() -> None:
    members = [Member(), Member(hidden=True, delay_seconds=5, tags={"for": "backup"}), Member(arbiter=True)]
    with ReplicaSet(members=members, auth=False) as deployment:
        config = deployment.client().admin.command("replSetGetConfig")["config"]["members"]
        first, hidden, arbiter = config
        assert first["priority"] > 1
        assert (hidden["hidden"], hidden["priority"], hidden["secondaryDelaySecs"]) == (True, 0, 5)
        assert hidden["tags"] == {"for": "backup"}
        assert arbiter["arbiterOnly"]
        deployment.wait_for_replication()


def test_another_takes_over_when_the_primary_is_killed_and_gives_back(replica_set: ReplicaSet) -> None:
    first = replica_set.primary("rs0")
    replica_set.kill_member(first)
    second = replica_set.primary("rs0")
    assert second != first
    replica_set.client().failover.items.insert_one({"_id": 1})
    replica_set.start_member(first)
    assert replica_set.primary("rs0") == first
    replica_set.wait_for_replication()
    assert replica_set.client(host=first).failover.items.find_one({"_id": 1})


def test_a_paused_member_answers_nothing_and_comes_back(replica_set: ReplicaSet) -> None:
    host = replica_set.secondaries("rs0")[0]
    client = replica_set.client(host=host, socketTimeoutMS=500, serverSelectionTimeoutMS=1000)
    client.admin.command("ping")
    replica_set.pause_member(host)
    with pytest.raises((NetworkTimeout, ServerSelectionTimeoutError)):
        client.admin.command("ping")
    replica_set.resume_member(host)
    replica_set.component.wait_settled()
    assert host in replica_set.secondaries("rs0")


def test_data_survive_a_stop_of_all_members() -> None:
    with ReplicaSet(members=2) as deployment:
        deployment.client().test.items.insert_one({"_id": 1})
        deployment.stop()
        assert not any(accepts_connections(mongod.lease.port) for mongod in deployment.component.mongods)
        deployment.resume_all()
        assert deployment.client().test.items.find_one({"_id": 1})


def test_tls_is_required_and_its_authority_checked() -> None:
    with ReplicaSet(members=2, tls=True) as deployment, Workspace("other-ca") as other:
        assert deployment.client(user="backup").admin.command("ping")["ok"]
        host = deployment.hosts()[0]
        quick: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 1000}
        for options in ({}, {"tls": True, "tlsCAFile": str(make_tls(other.path).ca_file)}):
            with (
                MongoClient[dict[str, Any]](host, **quick, **options) as client,
                pytest.raises(ServerSelectionTimeoutError),
            ):
                client.admin.command("ping")
        with MongoClient[dict[str, Any]](deployment.uri(user="restore")) as client:
            assert client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"]
        tls = AppBinding.model_validate(deployment.app_binding()).spec.tls
        assert tls
        assert tls.enabled


def test_a_connection_string_carries_the_difficult_password(replica_set: ReplicaSet) -> None:
    for user in ("admin", "backup", "restore"):
        with MongoClient[dict[str, Any]](replica_set.uri(user=user)) as client:
            assert client.admin.command("ping")["ok"]


def test_a_mongod_that_cannot_start_shows_its_log() -> None:
    with Workspace("bad") as workspace:
        mongod = Mongod(name="bad", folder=workspace.path, options=MongodOptions(parameters={"noSuchParameter": 1}))
        with pytest.raises(PermanentError, match="noSuchParameter"):
            mongod.start()
        mongod.close()
