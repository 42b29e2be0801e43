"""A lock that vanishes between restic's listing and its reading costs a new start, not 45 seconds."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from tests.integration.repository.conftest import PASSWORD

from mongo_backup.objects.storage import LocalStore
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import SnapshotReader
from mongo_backup.repository.restic import Repository

pytestmark = pytest.mark.integration


class RemoveWhenMissed(logging.Handler):
    """Takes the dead lock away when restic has stumbled over it, and counts how often it did."""

    def __init__(self, lock: Path) -> None:
        super().__init__()
        self.times = 0
        self._lock = lock

    def emit(self, record: logging.LogRecord) -> None:
        if "starting restic again" in record.getMessage():
            self.times += 1
            self._lock.unlink(missing_ok=True)


def test_restic_starts_again_on_the_same_input(tmp_path: Path) -> None:
    store = LocalStore(provider="local", path=str(tmp_path), prefix="")
    data = bytes(range(256)) * 20_000
    with Repository(store=store, credential=None, password=PASSWORD, name="shop", host="shop") as repository:
        repository.ensure()
        lock = Path(repository.location, "locks", "9efdc5bbae" + "0" * 54)
        lock.symlink_to("gone")  # listed, and not there when it is read
        watch = RemoveWhenMissed(lock)
        logger = logging.getLogger("mongo_backup.processes")
        logger.addHandler(watch)
        logger.setLevel(logging.INFO)
        try:
            with BackupSink(repository, Label(set_id="s", component="c", part="archive"), "c.archive") as sink:
                sink.write(data)
                summary = sink.finish()
        finally:
            logger.removeHandler(watch)
        assert watch.times == 1
        with SnapshotReader(repository, summary.snapshot_id, "/c.archive") as source:
            assert source.readall() == data
