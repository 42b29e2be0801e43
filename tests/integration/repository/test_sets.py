"""Sets in a real repository: they exist from the commit on, and go manifest first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.integration.repository.conftest import PASSWORD

from mongo_backup.errors import ConfigurationError, MongoBackupError, PermanentError, PreconditionError, TransientError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import ComponentRecord, Inventory, Manifest, NamespaceRecord
from mongo_backup.manifest.store import (
    archive_file,
    commit,
    read_inventory,
    read_manifest,
    read_manifests,
    write_inventory,
)
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.objects.storage import LocalStore
from mongo_backup.processes import Completed, run
from mongo_backup.repository import command, upkeep
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import SnapshotReader, read_file
from mongo_backup.repository.restic import Repository
from mongo_backup.retention.apply import apply_plan, clean_incomplete, plan_for
from mongo_backup.retention.marks import add_mark, any_set, remove_mark
from mongo_backup.retention.policy import PINNED
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode

pytestmark = pytest.mark.integration

NAMESPACES = (NamespaceRecord(db="shop", collection="orders", documents=3, bytes=99, indexes=({"v": 2},)),)


@pytest.fixture
def repository(local_spec: LocalStore, request: pytest.FixtureRequest) -> Iterator[Repository]:
    name = request.node.name.replace("_", "-")
    with Repository(store=local_spec, credential=None, password=PASSWORD, name=name, host="shop") as made:
        made.ensure()
        yield made


def dump(repository: Repository, set_id: str, component: str = "shard0") -> str:
    label = Label(set_id=set_id, component=component, part="archive", session="nightly")
    with BackupSink(repository, label, archive_file(component)) as sink:
        sink.write(f"archive of {component} in {set_id}".encode())
        return sink.finish().snapshot_id


def manifest(set_id: str, archive_id: str, **changes: object) -> Manifest:
    now = datetime.now(UTC)
    member = ChosenMember(
        component="shard0", role=ComponentRole.SHARD, host="a:1", state="SECONDARY", mode=ReadMode.LOCK
    )
    component = ComponentRecord(
        name="shard0",
        role=ComponentRole.SHARD,
        member=member,
        engine="native",
        consistency=Consistency.LOCKED,
        archive_id=archive_id,
        archive_file=archive_file("shard0"),
        documents=3,
        bytes=99,
        bytes_added=99,
        seconds=1,
        read_seconds=1,
        namespaces=NAMESPACES,
    )
    whole = Manifest(
        set_id=set_id,
        configuration="shop",
        session="nightly",
        started=now,
        finished=now,
        topology=TopologyKind.SHARDED,
        server_version="6.0.5",
        consistency=Consistency.LOCKED,
        components=(component,),
        core_version="0",
        restic_version="0",
    )
    return whole.model_copy(update=changes)


def test_a_set_exists_from_its_commit_on(repository: Repository) -> None:
    archive_id = dump(repository, "one")
    inventory = Inventory(component="shard0", namespaces=NAMESPACES)
    inventory_id = write_inventory(repository, set_id="one", session="nightly", inventory=inventory)
    assert read_inventory(repository, inventory_id, "shard0") == inventory

    before = SetCatalog.read(repository)
    assert before.complete() == ()
    assert [each.set_id for each in before.incomplete()] == ["one"]
    with pytest.raises(PreconditionError, match="no complete set"):
        before.find("latest")
    with pytest.raises(PreconditionError, match="not complete"):
        before.find("one")

    with pytest.raises(PreconditionError, match="is not in the repository"):
        commit(repository, manifest("one", "f" * 64))
    with pytest.raises(PreconditionError, match="is not in the repository"):
        commit(repository, manifest("one", inventory_id))  # a snapshot of the set, but no archive
    written = manifest("one", archive_id)
    manifest_id = commit(repository, written)

    after = SetCatalog.read(repository)
    entry = after.find("latest")
    assert (entry.set_id, entry.session, entry.manifest_id) == ("one", "nightly", manifest_id)
    assert set(entry.part_ids) == {archive_id, inventory_id}
    assert after.incomplete() == ()
    assert read_manifest(repository, entry) == written

    assert commit(repository, written) == manifest_id, "the same commit again is no error"
    with pytest.raises(PreconditionError, match="already committed"):
        commit(repository, manifest("one", dump(repository, "one")))


def test_retention_takes_the_manifest_first_and_heals(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        commit(repository, manifest(name, dump(repository, name)))
    running = dump(repository, "three")
    catalog = SetCatalog.read(repository)
    plan = plan_for(catalog, RetentionSpec(last=1), session="nightly")
    assert [each.set_id for each in plan.forgotten] == ["one"]
    assert plan_for(catalog, RetentionSpec(last=1), session="hourly").kept == ()

    forget, calls = repository.forget, []

    def interrupted(ids: list[str]) -> None:
        if calls:
            raise TransientError("the store went away between the two")
        calls.append(ids)
        forget(ids)

    with monkeypatch.context() as patch:
        patch.setattr(repository, "forget", interrupted)
        with pytest.raises(TransientError):
            apply_plan(repository, catalog, plan)
    half = SetCatalog.read(repository)
    assert [each.set_id for each in half.complete()] == ["two"]
    assert [each.set_id for each in half.incomplete()] == ["one", "three"]

    hour, now = timedelta(hours=1), datetime.now(UTC)
    assert clean_incomplete(repository, half, older_than=hour) == ()
    cleaned = clean_incomplete(repository, half, older_than=hour, alive={"three"}, now=now + 2 * hour)
    assert cleaned == ("one",)
    left = SetCatalog.read(repository)
    assert [each.set_id for each in left.complete()] == ["two"]
    assert [each.part_ids for each in left.incomplete()] == [(running,)]
    assert apply_plan(repository, left, plan) == (), "nothing is left to do"


@pytest.mark.long
def test_pinned_sets_and_pinned_remains_stay_until_unpinned(repository: Repository) -> None:
    for name in ("one", "two", "three"):
        commit(repository, manifest(name, dump(repository, name)))
    dump(repository, "failed")
    catalog = SetCatalog.read(repository)
    assert add_mark(repository, any_set(catalog, "one"), PINNED, reason="before the migration")
    assert add_mark(repository, any_set(catalog, "failed"), PINNED)
    with pytest.raises(ConfigurationError, match="three, two, one"):
        any_set(catalog, "four")

    marked = SetCatalog.read(repository)
    assert not add_mark(repository, any_set(marked, "one"), PINNED), "once is enough"
    later = datetime.now(UTC) + timedelta(days=2)
    assert clean_incomplete(repository, marked, older_than=timedelta(hours=1), now=later) == ()
    assert apply_plan(repository, marked, plan_for(marked, RetentionSpec(last=1))) == ("two",)

    assert remove_mark(repository, any_set(marked, "one"), PINNED)
    assert remove_mark(repository, any_set(marked, "failed"), PINNED)
    free = SetCatalog.read(repository)
    assert not remove_mark(repository, any_set(free, "one"), PINNED)
    assert clean_incomplete(repository, free, older_than=timedelta(hours=1), now=later) == ("failed",)
    assert apply_plan(repository, free, plan_for(free, RetentionSpec(last=1))) == ("one",)
    assert {each.tag("set") for each in repository.snapshots()} == {"three"}


def test_a_stream_that_is_cut_short_never_counts_as_whole(repository: Repository) -> None:
    data = os.urandom(20 << 20)
    label = Label(set_id="one", component="a", part="archive")
    with BackupSink(repository, label, "a.archive") as sink:
        sink.write(data)
        snapshot_id = sink.finish().snapshot_id
    with SnapshotReader(repository, snapshot_id, "/a.archive") as stream:
        assert stream.read(1000) == data[:1000]
        stream.abort()
    with pytest.raises(PreconditionError, match="no such snapshot or file"):
        read_file(repository, snapshot_id, "/b.archive")
    with pytest.raises(PreconditionError, match="no such snapshot or file"):
        read_file(repository, "0" * 64, "/a.archive")

    def read_on(stream: SnapshotReader) -> None:
        while stream.read(1 << 20):
            pass

    stream = killed_reader(repository, snapshot_id)
    with pytest.raises(TransientError, match="killed"):
        read_on(stream)
    stream.close()
    stream = killed_reader(repository, snapshot_id)
    with pytest.raises(TransientError, match="killed"), stream:
        stream.read(10)  # leaving the block reads the rest

    pack = max(Path(repository.location, "data").glob("*/*"), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(1000)
        file.write(b"flipped")
    with pytest.raises(MongoBackupError, match="damaged"):
        read_file(repository, snapshot_id, "/a.archive")
    repository.unlock_stale()  # of the killed ones
    repository.check()  # of the structure alone
    with pytest.raises(PermanentError, match="damaged"):
        repository.check(read_data_subset="100%")


def killed_reader(repository: Repository, snapshot_id: str) -> SnapshotReader:
    """A reader whose restic is killed after the first bytes."""
    stream = SnapshotReader(repository, snapshot_id, "/a.archive")
    assert stream.read(1000)
    (restic,) = psutil.Process(stream.guard_pid).children()
    restic.kill()
    return stream


def test_a_set_that_lost_an_archive_or_its_manifest_hides_no_other(repository: Repository) -> None:
    for name in ("good", "poor", "bad"):
        commit(repository, manifest(name, dump(repository, name)))
    poor, bad = SetCatalog.read(repository).find("poor"), SetCatalog.read(repository).find("bad")
    repository.forget(poor.part_ids)
    repository.forget([str(bad.manifest_id)])
    label = Label(set_id="bad", component="manifest", part="manifest", session="nightly")
    with BackupSink(repository, label, "/manifest.json") as sink:
        sink.write(b"{}")
        sink.finish()
    entries = SetCatalog.read(repository).complete()
    found = {entry.set_id: read for entry, read in read_manifests(repository, entries)}
    assert isinstance(found["good"], Manifest)
    assert "has lost the archive of shard0" in str(found["poor"])
    assert "is damaged" in str(found["bad"])
    whole = {entry.set_id: read for entry, read in read_manifests(repository, entries, archives=False)}
    assert isinstance(whole["poor"], Manifest), "for the objects in it the manifest is enough"
    with pytest.raises(PermanentError, match="is damaged"):
        read_manifests(repository, [each for each in entries if each.set_id == "bad"])


def test_more_are_forgotten_than_arguments_fit_into_a_command(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "FORGOTTEN_AT_ONCE", 2)
    ids = [dump(repository, str(number)) for number in range(5)]
    repository.forget(ids[:4])
    assert [each.id for each in repository.snapshots()] == ids[4:]
    monkeypatch.undo()
    repository._forget(["f" * 64] * upkeep.FORGOTTEN_AT_ONCE, 0)  # as many fit: restic begins


def test_the_time_of_a_copy_is_not_moved_when_clocks_go_back(
    local_spec: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        with Repository(store=local_spec, credential=None, password=PASSWORD, name="hour", host="shop") as repository:
            repository.ensure()
            label = Label(set_id="one", component="shard0", part="archive")
            times = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (0, 1)]
            for at in times:
                with BackupSink(repository, label, "/x", at=at) as sink:
                    sink.write(b"x")
                    sink.finish()
            assert [each.time for each in repository.snapshots()] == times
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_listing_of_thousands_may_take_its_time(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against S3 at 50 ms an answer, restic needed 44 s for 4000 snapshots: 360 sets of a sharded cluster."""
    given: list[float] = []

    def seen(*words: Any, timeout: float, **more: Any) -> Completed:
        given.append(timeout)
        return run(*words, timeout=timeout, **more)

    monkeypatch.setattr(command, "run", seen)
    assert repository.snapshots() == ()
    assert given == [pytest.approx(600)]
