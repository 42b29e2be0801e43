"""fsyncLock and fsyncUnlock of one member.

The lock is counted, belongs to nobody, and outlives the connection that took it (MongoDB manual, `fsync`,
`fsyncUnlock`). `currentOp` tells that there is one, not whose: that is what the journal is for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pymongo
from pymongo.errors import OperationFailure

from mongo_backup.connection import Connector, mongo_errors
from mongo_backup.errors import ConflictError, TransientError
from mongo_backup.topology.replica_set import greet

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0
LOCK_SECONDS = 120.0
"""A lock waits for running writes and a flush; longer than this and it is given up."""
PENDING_SECONDS = 10.0
"""So long an undo waits for a lock whose caller is gone to be granted: it cannot be taken back before."""
POLL_SECONDS = 0.2
_FLUSH_SECONDS = 300.0
_NOT_LOCKED = 20  # IllegalOperation: "fsyncUnlock called when not locked"


@contextmanager
def answers(doing: str, host: str, *, seconds: float | None = None) -> Iterator[None]:
    """Errors of the driver as ours, and a time limit for a member that hangs (none given: `ANSWER_SECONDS`)."""
    with mongo_errors(doing, host), pymongo.timeout(seconds or ANSWER_SECONDS):
        yield


def is_locked(connector: Connector, host: str) -> bool:
    """Whether the member is fsyncLocked, by whomever."""
    with answers("asking whether it is locked (currentOp)", host):
        answer = connector.member(host).admin.command({"currentOp": 1, "$ownOps": True})
    return bool(answer.get("fsyncLock"))


def lock_is_pending(connector: Connector, host: str) -> bool:
    """Whether somebody's fsyncLock waits to be granted: it may still come after its caller is gone."""
    with answers("asking for running locks (currentOp)", host):
        answer = connector.member(host).admin.command({"currentOp": 1, "command.fsync": {"$exists": True}})
    return any(operation.get("command", {}).get("lock") for operation in answer["inprog"])


def process_id(connector: Connector, host: str) -> str | None:
    """Return what names the running server process: another one after a restart, and then no lock is left.

    None: a server older than 4.4 does not tell.
    """
    found = greet(connector, host).get("topologyVersion", {}).get("processId")
    return None if found is None else str(found)


def member_clock(connector: Connector, host: str) -> float:
    """Return the member's own time, as Unix time: agents on several machines agree on it."""
    local: datetime = greet(connector, host)["localTime"]
    return local.replace(tzinfo=UTC).timestamp()


def flush(connector: Connector, host: str) -> None:
    """Write all data to disk without a lock, so that the flush within the lock is short."""
    with answers("flushing its data", host, seconds=_FLUSH_SECONDS):
        connector.member(host).admin.command("fsync")


def refuse_foreign_lock(connector: Connector, host: str) -> None:
    """Refuse a member that is locked; call it when no entry of the journal speaks of such a lock.

    :raises ConflictError: it is locked.
    """
    if is_locked(connector, host):
        raise ConflictError(
            f"{host} is fsyncLocked by somebody else: it is left as it is. If nobody needs the lock any more, open it"
            " with db.fsyncUnlock() on that member"
        )


def lock(connector: Connector, host: str) -> float:
    """Lock the member; return the Unix time at which the server's answer was there.

    :raises ConflictError: somebody locked it at the same moment; the own lock is taken back.
    :raises TransientError: it took longer than `LOCK_SECONDS`; it may still be granted: undo it by the journal.
    """
    with answers("locking it (fsync)", host, seconds=LOCK_SECONDS):
        count = connector.member(host).admin.command({"fsync": 1, "lock": True})["lockCount"]
    at = time.time()
    if count != 1:
        unlock(connector, host)
        raise ConflictError(f"{host} was fsyncLocked by somebody else at the same moment: it is left as it is")
    return at


def unlock(connector: Connector, host: str) -> int:
    """Take one lock off; return how many are left. A member that is not locked is fine."""
    with answers("unlocking it (fsyncUnlock)", host):
        try:
            return int(connector.member(host).admin.command("fsyncUnlock")["lockCount"])
        except OperationFailure as error:
            if error.code == _NOT_LOCKED or "not locked" in str(error):
                return 0
            raise


def undo_lock(connector: Connector, host: str, *, process: str | None) -> str:
    """Take our lock off, whatever its state; in words what was done.

    A lock of somebody else on top of ours stays.

    :param process: the server process that was locked.
    :raises TransientError: the member does not answer, or the lock is asked for but not granted yet.
    """
    if process is not None and process_id(connector, host) != process:
        return f"{host} was restarted, its lock is gone"
    deadline = time.monotonic() + PENDING_SECONDS
    while True:
        pending = lock_is_pending(connector, host)  # asked first: one that is granted in between is found below
        if is_locked(connector, host):
            left = unlock(connector, host)
            return f"unlocked {host}" + (f"; {left} lock of somebody else is left on it" if left else "")
        if not pending:
            return f"{host} is not locked"
        if time.monotonic() > deadline:
            raise TransientError(f"{host}: a lock is asked for but not granted yet; it is undone at the next try")
        time.sleep(POLL_SECONDS)
