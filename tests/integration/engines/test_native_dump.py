from __future__ import annotations

import dataclasses
import hashlib
import threading
from typing import Any

import bson
import pytest

from mongo_backup.digest import DocumentDigest
from mongo_backup.engines import native
from mongo_backup.engines.native.reading import BATCH_BYTES
from mongo_backup.errors import ConfigurationError, MongoBackupError, PermanentError, TransientError
from sandbox.deployment import Deployment
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.seed import Seeded
from sandbox.users import User
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration

SET = "rs0"
Many = list[dict[str, Any]]


def documents(count: int, *, first: int = 0) -> Many:
    return [{"_id": number, "text": f"document {number}"} for number in range(first, first + count)]


def encoded(expected: Many) -> list[bytes]:
    """Sorted, for a secondary keeps documents in an order of its own."""
    return sorted(map(bson.encode, expected))


def open_cursors(deployment: Deployment, host: str) -> int:
    metrics = deployment.admin_client(SET, host).admin.command("serverStatus")["metrics"]
    return int(metrics["cursor"]["open"]["noTimeout"])


def test_everything_of_the_seed_is_dumped_as_it_is(seeded_replica_set: tuple[ReplicaSet, Seeded], dumps: Any) -> None:
    deployment, seeded = seeded_replica_set
    point = dumps.now(deployment)
    dumped = dumps.run(dumps.job(deployment, SET, cluster_time=point, expect_catalog=True))
    assert dumped.read_complete == 1
    assert [record.namespace for record in dumped.records] == sorted(record.namespace for record in dumped.records)
    for namespace, count in seeded.counts.items():
        record = dumped.record(namespace)
        if record.type == "timeseries":
            db, _, name = namespace.partition(".")
            namespace = f"{db}.system.buckets.{name}"
            record = dumped.record(namespace)
        else:
            assert record.documents == count
        expected = dumps.raw_documents(deployment, SET, namespace)
        digest = DocumentDigest()
        digest.add(expected)
        assert sorted(dumped.documents[namespace]) == expected
        assert (record.documents, record.bytes) == (len(expected), sum(map(len, expected)))
        assert record.digest == digest.hexdigest()
        assert record.at_cluster_time != bool(record.options.get("capped"))
        assert record.uuid is not None
    kinds = {record.namespace: record.type for record in dumped.records}
    assert kinds["shop.debtors"] == "view"
    assert kinds["telemetry.readings"] == "timeseries"
    assert dumped.documents["shop.debtors"] == []
    assert {"admin.system.users", "admin.system.roles"} <= kinds.keys()
    assert not [name for name in kinds if name.startswith(("local.", "config.")) or "journal" in name]


def test_two_dumps_of_the_same_data_are_the_same_bytes(
    seeded_replica_set: tuple[ReplicaSet, Seeded], dumps: Any
) -> None:
    deployment, _ = seeded_replica_set
    include = ("shop.*", "crm.*", "telemetry.*")
    host = deployment.secondaries(SET)[0]
    archives = {
        hashlib.sha256(
            dumps.run(
                dumps.job(deployment, SET, host=host, include=include, cluster_time=point, threads=threads)
            ).archive
        ).hexdigest()
        for point, threads in ((dumps.now(deployment), 1), (dumps.now(deployment), 3), (None, 2))
    }
    assert len(archives) == 1


def test_a_locked_member_is_read_at_the_cluster_time(replica_set: ReplicaSet, dumps: Any) -> None:
    primary = replica_set.client()["locked"]["things"]
    primary.insert_many(documents(100))
    point = dumps.now(replica_set)
    host = replica_set.secondaries(SET)[0]
    admin = replica_set.admin_client(SET, host).admin
    primary.insert_many(documents(50, first=1000))  # after the time, before the lock
    replica_set.wait_for_replication()
    admin.command("fsync", lock=True)
    try:
        primary.delete_many({"_id": {"$lt": 30}})
        wanted = dumps.job(replica_set, SET, host=host, include=("locked.*",), cluster_time=point, expect_catalog=True)
        dumped = [dumps.run(wanted), dumps.run(wanted)]
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0
    assert sorted(dumped[0].documents["locked.things"]) == encoded(documents(100))
    assert dumped[0].archive == dumped[1].archive


def test_without_a_lock_the_cluster_time_is_read_under_load(replica_set: ReplicaSet, dumps: Any) -> None:
    collection = replica_set.client()["moving"]["things"]
    collection.insert_many(documents(500))
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            collection.insert_one({"_id": f"late {number}"})
            collection.update_one({"_id": number % 500}, {"$set": {"text": "changed"}})
            collection.delete_one({"_id": (number * 7) % 500})
            number += 1

    point = dumps.now(replica_set)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: collection.count_documents({"_id": {"$type": "string"}}) > 20, what="the writer writes")
        dumped = dumps.run(dumps.job(replica_set, SET, include=("moving.*",), cluster_time=point))
    finally:
        stop.set()
        writer.join()
    assert sorted(dumped.documents["moving.things"]) == encoded(documents(500))


def test_a_collection_larger_than_several_batches(replica_set: ReplicaSet, dumps: Any) -> None:
    large = [{"_id": number, "pad": bytes([number % 251]) * 40_000} for number in range(600)]
    database = replica_set.client()["large"]
    database["a_large"].insert_many(large)
    database["b_huge"].insert_many([{"_id": number, "pad": b"y" * (15 * 1024 * 1024)} for number in range(2)])
    database["c_small"].insert_many(documents(2500))
    assert sum(len(bson.encode(each)) for each in large) > 3 * BATCH_BYTES
    replica_set.wait_for_replication()
    dumped = dumps.run(dumps.job(replica_set, SET, include=("large.*",), read_ahead_bytes=BATCH_BYTES, threads=3))
    database.client.drop_database("large")
    assert sorted(dumped.documents["large.a_large"]) == encoded(large)
    assert [len(each) for each in dumped.documents["large.b_huge"]] == [15 * 1024 * 1024 + 24] * 2
    assert sorted(dumped.documents["large.c_small"]) == encoded(documents(2500))


def test_ddl_after_the_cluster_time_is_an_error(replica_set: ReplicaSet, dumps: Any) -> None:
    database = replica_set.client()["ddl"]
    database["old"].insert_many(documents(3))
    point = dumps.now(replica_set)
    job = dumps.job(replica_set, SET, include=("ddl.*",), cluster_time=point, expect_catalog=True)
    database["new"].insert_many(documents(3))
    replica_set.wait_for_replication()
    told: list[int] = []
    with pytest.raises(PermanentError, match="was created, dropped, renamed or changed"):
        native.dump(job, write=lambda _: None, on_read_complete=lambda: told.append(1))
    with pytest.raises(PermanentError, match=r"ddl\.new on .* cannot be read at cluster time"):
        native.dump(
            dataclasses.replace(job, expected_catalog=None),
            write=lambda _: None,
            on_read_complete=lambda: told.append(1),
        )
    assert told == []


def test_a_cluster_time_behind_the_history_window_is_an_error(replica_set: ReplicaSet, dumps: Any) -> None:
    collection = replica_set.client()["history"]["things"]
    collection.insert_many(documents(3))
    point = dumps.now(replica_set)
    job = dumps.job(replica_set, SET, include=("history.*",), cluster_time=point)
    admin = replica_set.admin_client(SET, job.host).admin
    name = "minSnapshotHistoryWindowInSeconds"
    usual = admin.command({"getParameter": 1, name: 1})[name]
    admin.command({"setParameter": 1, name: 0})

    def refused() -> str:
        collection.insert_one({})
        replica_set.wait_for_replication()
        try:
            native.dump(job, write=lambda _: None, on_read_complete=lambda: None)
        except PermanentError as error:
            return error.message
        return ""

    try:
        message = wait_until(refused, what="the history is gone")
    finally:
        admin.command({"setParameter": 1, name: usual})
    assert f"history.things on {job.host} cannot be read at cluster time {point}" in message
    assert "minSnapshotHistoryWindowInSeconds" in message


def test_ddl_while_it_is_read_is_an_error(replica_set: ReplicaSet, dumps: Any) -> None:
    database = replica_set.client()["ddl_meanwhile"]
    database["a_large"].insert_many([{"_id": number, "pad": b"x" * 500_000} for number in range(40)])
    database["z_last"].insert_many(documents(3))
    time = dumps.now(replica_set)
    job = dumps.job(replica_set, SET, include=("ddl_meanwhile.*",), cluster_time=time, expect_catalog=True)
    written: list[int] = []
    told: list[int] = []

    def write(piece: bytes | memoryview) -> None:
        if not written:
            database["z_last"].drop()
            replica_set.wait_for_replication()
        written.append(len(piece))

    with pytest.raises(PermanentError, match=r"was created, dropped, renamed or changed"):
        native.dump(
            dataclasses.replace(job, read_ahead_bytes=1_000_000, threads=1),
            write=write,
            on_read_complete=lambda: told.append(1),
        )
    database.client.drop_database("ddl_meanwhile")
    assert told == []


def test_a_member_killed_in_the_middle_is_a_named_error(dumps: Any) -> None:
    with ReplicaSet(members=1, auth=False) as deployment:
        deployment.client()["shop"]["orders"].insert_many(
            [{"_id": number, "pad": b"x" * 1_000_000} for number in range(40)]
        )
        host = deployment.primary(SET)
        job = dataclasses.replace(
            dumps.job(deployment, SET, host=host, include=("shop.*",)),
            client=deployment.client(host=host, serverSelectionTimeoutMS=2000),
            read_ahead_bytes=2_000_000,
            threads=1,
        )
        written: list[int] = []
        told: list[int] = []

        def write(piece: bytes | memoryview) -> None:
            if not written:
                deployment.kill_member(host)
            written.append(len(piece))

        with pytest.raises(TransientError) as raised:
            native.dump(job, write=write, on_read_complete=lambda: told.append(1))
        assert host in raised.value.message
        assert "shop.orders" in raised.value.message
        assert written
        assert told == []
        deployment.start_member(host)  # the driver would wait for it when its clients are closed


def test_a_writer_that_fails_ends_the_reading(replica_set: ReplicaSet, dumps: Any) -> None:
    replica_set.client()["unwanted"]["things"].insert_many(
        [{"_id": number, "pad": b"x" * 500_000} for number in range(60)]
    )
    replica_set.wait_for_replication()
    job = dumps.job(replica_set, SET, include=("unwanted.*",), read_ahead_bytes=1_000_000)
    told: list[int] = []

    def write(_: bytes | memoryview) -> None:
        raise TransientError("the store is gone")

    threads = threading.active_count()
    with pytest.raises(TransientError, match="the store is gone"):
        native.dump(job, write=write, on_read_complete=lambda: told.append(1))
    replica_set.client().drop_database("unwanted")
    assert told == []
    assert threading.active_count() <= threads
    wait_until(lambda: open_cursors(replica_set, job.host) == 0, what="no cursor stays open")


def test_a_member_that_hangs_does_not_hang_the_dump_that_is_given_up(dumps: Any) -> None:
    with ReplicaSet(members=1, auth=False) as deployment:
        deployment.client()["shop"]["orders"].insert_many(
            [{"_id": number, "pad": b"x" * 1_000_000} for number in range(40)]
        )
        host = deployment.primary(SET)
        job = dataclasses.replace(
            dumps.job(deployment, SET, host=host, include=("shop.*",)), read_ahead_bytes=2_000_000, threads=1
        )
        told: list[int] = []

        def write(_: bytes | memoryview) -> None:
            deployment.pause_member(host)
            raise TransientError("somebody ended it")

        try:
            with pytest.raises(TransientError, match="somebody ended it"):
                native.dump(job, write=write, on_read_complete=lambda: told.append(1))
        finally:
            deployment.resume_member(host)
        assert told == []


def test_what_fails_at_the_end_of_the_reading_fails_the_dump(replica_set: ReplicaSet, dumps: Any) -> None:
    def unlock() -> None:
        raise TransientError("the member cannot be unlocked")

    with pytest.raises(TransientError, match="cannot be unlocked"):
        native.dump(dumps.job(replica_set, SET, include=("none.*",)), write=lambda _: None, on_read_complete=unlock)


def test_a_user_without_the_privilege_is_told(replica_set: ReplicaSet, dumps: Any) -> None:
    replica_set.client()["admin"].command("createUser", "nobody-much", pwd="p", roles=[])
    replica_set.wait_for_replication()
    host = replica_set.secondaries(SET)[0]
    client = replica_set.client(host=host, user=User("nobody-much", "p"))
    job = dataclasses.replace(dumps.job(replica_set, SET, host=host), client=client)
    with pytest.raises((ConfigurationError, MongoBackupError), match=host) as raised:
        native.dump(job, write=lambda _: None, on_read_complete=lambda: None)
    assert isinstance(raised.value, ConfigurationError)
    replica_set.client()["admin"].command("dropUser", "nobody-much")


def test_a_standalone_is_dumped_as_it_stands(standalone: Standalone, dumps: Any) -> None:
    standalone.client()["alone"]["things"].insert_many(documents(10))
    host = standalone.hosts()[0]
    dumped = dumps.run(dumps.job(standalone, "standalone", host=host, include=("alone.*",)))
    assert len(dumped.documents["alone.things"]) == 10
    assert not dumped.record("alone.things").at_cluster_time
