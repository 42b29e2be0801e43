"""Maintenance of a real repository: parts in turn, damage by name, alone, and whole again after an interruption."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.agent.maintain_contract import MaintainRequest
from mongo_backup.agent.steps import maintain
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConflictError, MongoBackupError, PermanentError, TargetBusyError
from mongo_backup.locks.release import sweep
from mongo_backup.locks.target import occupy
from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.resolved import CopyObjects, Objects
from mongo_backup.objects.storage import BackupStorage
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository
from sandbox import objects as written
from sandbox.replica_set import Standalone
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration

MIB = 1 << 20


class House:
    """A configuration with its repository in a folder, and the deployment that it backs up."""

    def __init__(self, standalone: Standalone, folder: Path) -> None:
        self.binding = AppBinding.model_validate(standalone.app_binding())
        self.storage = BackupStorage.model_validate(written.local_storage(folder))
        self.credentials: Credentials = written.credentials(standalone)
        self.data = folder / "shop" / "data"

    def request(self, run: str = "scheduled__1", **settings: Any) -> MaintainRequest:
        configuration = written.configuration(target=self.binding.name, maintenance={"wait": "0s", **settings})
        return MaintainRequest(
            run=RunIdentity(dag_id="maintain.shop", run_id=run),
            objects=Objects(
                configuration=BackupConfiguration.model_validate(configuration),
                target=self.binding,
                storage=self.storage,
                addon=builtin_addon(),
            ),
        )

    def check(self, **settings: Any) -> int:
        return maintain.check(self.request(**settings), self.credentials).part

    def open(self) -> Repository:
        request = self.request()
        return Repository.of(
            configuration=request.objects.configuration, storage=self.storage, credentials=self.credentials
        )

    def save(self, set_id: str, component: str, size: int) -> str:
        with self.open() as repository:
            label = Label(set_id=set_id, component=component, part="archive")
            with BackupSink(repository, label, f"{component}.archive") as sink:
                sink.write(os.urandom(size))
                return sink.finish().snapshot_id

    def packs(self) -> dict[Path, int]:
        return {path: path.stat().st_size for path in self.data.rglob("*") if path.is_file()}


@pytest.fixture
def house(standalone: Standalone, tmp_path: Path) -> Iterator[House]:
    made = House(standalone, tmp_path)
    with made.open() as repository:
        repository.ensure()
    yield made
    maintain.finish(made.request(), made.credentials)


@pytest.mark.long
def test_every_part_gets_its_turn_and_the_repository_remembers(house: House) -> None:
    house.save("one", "shard0", MIB)
    assert [house.check(check_parts=3) for _ in range(4)] == [1, 2, 3, 1]
    assert house.check(check_parts=2) == 1  # another number of parts begins anew
    with house.open() as repository:
        (note,) = repository.snapshots(tags=("part=maintenance",))
    assert note.tag("checked") == "1/2"


def test_pruning_frees_what_was_forgotten(house: House) -> None:
    kept, gone = house.save("one", "shard0", MIB), house.save("two", "shard0", 3 * MIB)
    with house.open() as repository:
        repository.forget([gone])
    left = maintain.prune(house.request(prune=False), house.credentials)
    assert left.freed_bytes == 0
    done = maintain.prune(house.request(), house.credentials)
    assert done.freed_bytes == pytest.approx(3 * MIB, rel=0.01)
    assert done.stored_bytes == pytest.approx(MIB, rel=0.01)
    assert sum(house.packs().values()) == pytest.approx(MIB, rel=0.05)
    with house.open() as repository:
        assert [each.id for each in repository.snapshots()] == [kept]


@pytest.mark.parametrize("harm", ["flipped", "gone"])
def test_planted_damage_is_found_and_named(house: House, harm: str) -> None:
    house.save("good", "config", MIB)
    before = set(house.packs())
    house.save("bad", "shard0", 2 * MIB)
    new = {path: size for path, size in house.packs().items() if path not in before}
    pack = max(new, key=lambda path: new[path])
    pack.chmod(0o600)
    if harm == "flipped":
        content = bytearray(pack.read_bytes())
        content[1000] ^= 1
        pack.write_bytes(content)
    else:
        pack.unlink()
    for _ in range(2):  # a part that is damaged is not passed over
        with pytest.raises(PermanentError, match="is damaged") as caught:
            house.check(check_parts=1)
        assert pack.name[:12] in str(caught.value)
        assert "Sets that need them: bad (shard0)" in str(caught.value)


def test_a_running_backup_is_waited_for_and_not_broken(house: House) -> None:
    with house.open() as repository:
        with BackupSink(repository, Label(set_id="s", component="a", part="archive"), "a.archive") as sink:
            sink.write(os.urandom(3 * MIB))
            wait_until(repository.locks, what="restic holds its lock")
            with pytest.raises(ConflictError, match="holds a lock"):
                maintain.prune(house.request(), house.credentials)
            threading.Timer(2, sink.finish).start()
            assert maintain.prune(house.request(wait="1m"), house.credentials).sets == 0
        assert len(repository.snapshots(tags=("set=s",))) == 1


def test_a_backup_between_two_dumps_is_waited_for_too(house: House) -> None:
    """It has no lock in the repository then, and its members are locked."""
    backup = "backup.shop.nightly/scheduled__7"
    with Connector(binding=house.binding, credentials=house.credentials) as connector:
        occupy(connector, owner=backup)
        with pytest.raises(TargetBusyError, match="run scheduled__7"):
            house.check()
        threading.Timer(1, lambda: sweep(connector, backup)).start()
        assert house.check(wait="1m") == 1
        with pytest.raises(TargetBusyError, match=r"DAG maintain\.shop"):
            occupy(connector, owner=backup)  # until `finish`, nobody begins
        maintain.finish(house.request(), house.credentials)
        occupy(connector, owner=backup)
        sweep(connector, backup)


def test_a_copy_is_looked_after_without_the_target(house: House) -> None:
    """A backup that holds the target does not wait for it, nor it for the backup."""
    settings = {"name": "far", "storage": {"name": house.storage.name}, "maintenance": {"wait": "0s", "check_parts": 2}}
    request = house.request()
    copies = (
        CopyObjects(settings=CopySettings.model_validate(settings | {"repository": "far"}), storage=house.storage),
    )
    objects = request.objects.model_copy(update={"copies": copies}).read_from("far")
    request = request.model_copy(update={"objects": objects})
    key = objects.configuration.spec.encryption.key
    alone = Credentials(values={key: house.credentials.values[key]})
    backup = "backup.shop.nightly/scheduled__9"
    with (
        Connector(binding=house.binding, credentials=house.credentials) as connector,
        Repository.of(configuration=objects.configuration, storage=house.storage, credentials=alone) as copy,
    ):
        copy.ensure()
        occupy(connector, owner=backup)
        assert maintain.check(request, alone).parts == 2
        assert maintain.prune(request, alone).sets == 0
        assert maintain.finish(request, alone).swept == ()
        assert copy.snapshots(tags=("part=maintenance",))
        sweep(connector, backup)
    with house.open() as own:
        assert own.snapshots() == ()


def test_a_killed_prune_is_finished_by_the_next(house: House) -> None:
    gone = house.save("one", "shard0", 4 * MIB)
    kept = house.save("two", "shard0", MIB)
    with house.open() as repository:
        repository.forget([gone])
        process = repository.start("prune")
        locks = house.data.parent / "locks"
        wait_until(lambda: list(locks.iterdir()), what="restic holds its lock", interval=0.002)
        (restic,) = psutil.Process(process.guard_pid).children()
        restic.kill()
        process.end()
        assert repository.locks()
        assert house.check(check_parts=1) == 1
        maintain.prune(house.request(), house.credentials)
        assert [each.id for each in repository.snapshots(tags=("set=two",))] == [kept]
        assert repository.locks() == ()
    assert sum(house.packs().values()) < 2 * MIB


def test_a_target_that_is_gone_keeps_nobody_from_looking_after_its_repository(house: House) -> None:
    house.save("one", "shard0", MIB)
    house.binding = house.binding.model_copy(
        update={"spec": house.binding.spec.model_copy(update={"hosts": ("127.0.0.1:9",)})}
    )
    assert house.check() == 1
    assert maintain.finish(house.request(), house.credentials).swept == ()


def test_a_repository_that_is_gone_keeps_no_backup_waiting(house: House, tmp_path: Path) -> None:
    assert house.check() == 1  # takes the target
    repository = house.data.parent
    repository.rename(tmp_path / "elsewhere")
    with pytest.raises(MongoBackupError, match="shop"):
        maintain.finish(house.request(), house.credentials)
    (tmp_path / "elsewhere").rename(repository)
    with Connector(binding=house.binding, credentials=house.credentials) as connector:
        occupy(connector, owner="backup.shop.nightly/scheduled__8")
        sweep(connector, "backup.shop.nightly/scheduled__8")
