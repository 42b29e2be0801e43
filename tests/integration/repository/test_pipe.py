"""All or nothing: whoever is killed in the middle of a backup, no snapshot appears and the next backup works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest
from tests.integration.repository.conftest import PASSWORD, objects, s3_credential, s3_spec

from mongo_backup.errors import MongoBackupError, PermanentError, TransientError
from mongo_backup.objects.storage import LocalStore
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import SnapshotReader
from mongo_backup.repository.records import BackupSummary
from mongo_backup.repository.restic import Repository
from sandbox.s3 import S3Store
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration

MIB = 1 << 20
VICTIM = Path(__file__).with_name("victim.py")


def label() -> Label:
    return Label(set_id=f"set-{uuid.uuid4().hex[:8]}", component="shard0", part="archive", session="nightly")


def save(repository: Repository, data: bytes) -> BackupSummary:
    with BackupSink(repository, label(), "shard0.archive") as sink:
        sink.write(data)
        return sink.finish()


def restic_below(guard_pid: int) -> psutil.Process:
    def found() -> psutil.Process | None:
        children = psutil.Process(guard_pid).children()
        return next((child for child in children if child.name() == "restic"), None)

    return wait_until(found, what="the guard has started restic", timeout=20)


def write_until_it_fails(sink: BackupSink, limit: int = 256) -> None:
    for _ in range(limit):
        sink.write(os.urandom(MIB))
    pytest.fail(f"{limit} MiB went into a restic that was killed")


class Watched:
    """A repository and what lies in its store."""

    def __init__(self, repository: Repository, store: S3Store | None) -> None:
        self.repository = repository
        self.store = store

    def objects(self, kind: str) -> set[str]:
        return objects(self.repository, kind, self.store)

    def sink(self, *, stall_seconds: float = 60, finish_seconds: float = 60) -> BackupSink:
        return BackupSink(
            self.repository,
            label(),
            "shard0.archive",
            stall_seconds=stall_seconds,
            finish_seconds=finish_seconds,
            grace_seconds=3,
        )

    def busy_sink(self, **limits: float) -> BackupSink:
        """A sink whose restic is at work: it has taken data and holds its lock."""
        sink = self.sink(**limits)
        sink.write(os.urandom(3 * MIB))
        wait_until(lambda: self.objects("locks"), what="restic holds its lock")
        return sink

    @contextlib.contextmanager
    def nothing_saved(self, *, lock_may_stay: bool = False) -> Iterator[None]:
        """Inside something goes wrong; after it there is no new snapshot, no lock of ours, and a backup works."""
        before = self.objects("snapshots")
        yield
        if lock_may_stay:
            self.repository.unlock_stale()
        assert self.objects("snapshots") == before
        assert self.objects("locks") == set()
        after = save(self.repository, b"the next one")
        assert self.objects("snapshots") == {*before, after.snapshot_id}


@pytest.fixture
def watched(request: pytest.FixtureRequest, repository: Repository) -> Watched:
    s3 = repository.location.startswith("s3:")
    return Watched(repository, request.getfixturevalue("s3_store") if s3 else None)


def test_what_is_written_is_saved_and_read_back(repository: Repository) -> None:
    data = Random(1).randbytes(24 * MIB)
    made = label()
    with BackupSink(repository, made, "shard0.archive") as sink:
        for start in range(0, len(data), 777_777):
            sink.write(memoryview(data)[start : start + 777_777])
        summary = sink.finish()
    assert summary.total_bytes_processed == len(data)
    (snapshot,) = repository.snapshots(tags=made.tags)
    assert snapshot.id == summary.snapshot_id
    assert snapshot.tag("component") == "shard0"
    assert snapshot.hostname == "shop"
    with SnapshotReader(repository, summary.snapshot_id, "/shard0.archive") as stream:
        assert stream.readall() == data


def test_unchanged_data_are_not_uploaded_again(repository: Repository) -> None:
    data = Random(2).randbytes(24 * MIB)
    first, second = save(repository, data), save(repository, data)
    assert first.data_added >= len(data)
    assert second.data_added <= len(data) / 1000


def test_an_exception_in_the_writer_saves_nothing(watched: Watched) -> None:
    def fail() -> None:
        with watched.busy_sink():
            raise RuntimeError("the member went away")

    with watched.nothing_saved(), pytest.raises(RuntimeError, match="went away"):
        fail()


def test_an_aborted_sink_takes_nothing_more(watched: Watched) -> None:
    with watched.nothing_saved():
        sink = watched.busy_sink()
        sink.abort()
        sink.abort()
        with pytest.raises(PermanentError, match="after its end"):
            sink.finish()
        with pytest.raises(PermanentError, match="after its end"):
            sink.write(b"more")


def test_restic_killed(watched: Watched) -> None:
    with watched.nothing_saved(lock_may_stay=True), watched.busy_sink() as sink:
        restic_below(sink.guard_pid).kill()
        with pytest.raises(TransientError, match="killed"):
            write_until_it_fails(sink)


def test_restic_killed_after_the_last_byte(watched: Watched) -> None:
    with watched.nothing_saved(lock_may_stay=True), watched.busy_sink() as sink:
        restic = restic_below(sink.guard_pid)
        restic.suspend()  # else it might be quicker than the kill
        restic.kill()
        with pytest.raises(TransientError, match="killed"):
            sink.finish()


def test_guard_killed(watched: Watched) -> None:
    with watched.nothing_saved(lock_may_stay=True), watched.busy_sink() as sink:
        restic = restic_below(sink.guard_pid)
        psutil.Process(sink.guard_pid).kill()
        with pytest.raises(TransientError, match="killed"):
            write_until_it_fails(sink)
        wait_until(lambda: not restic.is_running(), what="restic is gone")


@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
def test_agent_killed(watched: Watched, local_spec: LocalStore, group: bool) -> None:
    store = watched.store
    credential = {"username": store.key.access_key, "password": store.key.secret_key} if store else None
    order = {
        "store": (s3_spec(store) if store else local_spec).model_dump(),
        "credential": credential,
        "password": PASSWORD,
        "name": watched.repository.location.rpartition("/")[2],
        "set": label().set_id,
    }
    with watched.nothing_saved():
        agent = subprocess.Popen(
            [sys.executable, str(VICTIM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        with agent:
            assert agent.stdin is not None
            assert agent.stdout is not None
            agent.stdin.write(json.dumps(order).encode())
            agent.stdin.close()
            guard = psutil.Process(int(agent.stdout.readline()))
            restic = restic_below(guard.pid)
            if group:
                os.killpg(agent.pid, signal.SIGKILL)
            else:
                agent.kill()
        wait_until(lambda: not (guard.is_running() or restic.is_running()), what="guard and restic are gone")


def test_a_repository_that_is_not_there(local_spec: LocalStore) -> None:
    with (
        Repository(store=local_spec, credential=None, password=PASSWORD, name="absent", host="shop") as absent,
        pytest.raises(MongoBackupError, match="there is no repository"),
    ):
        save(absent, b"x")


# A store in trouble: one of its own, it is frozen, filled and stopped.


@pytest.fixture(scope="module")
def troubled() -> Iterator[Watched]:
    with (
        S3Store() as store,
        Repository(
            store=s3_spec(store), credential=s3_credential(store), password=PASSWORD, name="trouble", host="shop"
        ) as made,
    ):
        made.ensure()
        yield Watched(made, store)


def test_store_frozen(troubled: Watched) -> None:
    assert troubled.store is not None
    with troubled.nothing_saved(lock_may_stay=True), troubled.busy_sink(stall_seconds=2) as sink:
        troubled.store.pause()
        try:
            with pytest.raises(TransientError, match="nothing was taken for 2 s"):
                write_until_it_fails(sink)
        finally:
            troubled.store.resume()


def test_store_frozen_after_the_last_byte(troubled: Watched) -> None:
    assert troubled.store is not None
    with troubled.nothing_saved(lock_may_stay=True), troubled.busy_sink(finish_seconds=2) as sink:
        troubled.store.pause()
        try:
            with pytest.raises(TransientError, match="not finished 2 s after the last byte"):
                sink.finish()
        finally:
            troubled.store.resume()


def test_store_full(troubled: Watched, caplog: pytest.LogCaptureFixture) -> None:
    assert troubled.store is not None
    with troubled.nothing_saved(lock_may_stay=True):
        troubled.store.set_full(True)
        try:
            with troubled.sink(stall_seconds=2) as sink:
                wait_until(lambda: "internal error" in caplog.text, what="restic's words are in the log")
                with pytest.raises(TransientError, match="the store fails"):
                    write_until_it_fails(sink)
        finally:
            troubled.store.set_full(False)


def test_store_gone(troubled: Watched) -> None:
    assert troubled.store is not None
    with troubled.nothing_saved(lock_may_stay=True), troubled.busy_sink(stall_seconds=2) as sink:
        troubled.store.stop()
        try:
            with pytest.raises(TransientError, match=r"cannot be reached|does not answer"):
                write_until_it_fails(sink)
        finally:
            troubled.store.start()
