"""A lock whose caller is gone, on a real server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.integration.control.support import connect

from mongo_backup.errors import TransientError
from mongo_backup.locks import fsync
from mongo_backup.locks.fsync import is_locked, lock, lock_is_pending, undo_lock
from sandbox.replica_set import Standalone
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


def test_a_lock_that_is_not_granted_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Standalone(parameters={"enableTestCommands": 1}) as standalone,
        connect(standalone) as connector,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        host = standalone.hosts()[0]
        admin = standalone.admin_client("standalone").admin
        data = {"failCommands": ["fsync"], "blockConnection": True, "blockTimeMS": 2000}
        admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data})
        asked = pool.submit(lock, connector, host)
        wait_until(lambda: lock_is_pending(connector, host), what="the lock is asked for")
        with monkeypatch.context() as impatient:
            impatient.setattr(fsync, "PENDING_SECONDS", 0)
            with pytest.raises(TransientError, match="asked for but not granted yet; it is undone at the next try"):
                undo_lock(connector, host, process=None)
        assert undo_lock(connector, host, process=None) == f"unlocked {host}"
        asked.result()
        assert not is_locked(connector, host)
        assert undo_lock(connector, host, process=None) == f"{host} is not locked"
