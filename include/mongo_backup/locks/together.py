"""Do one thing on all members at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mongo_backup.connection import Connector
from mongo_backup.locks import fsync
from mongo_backup.topology.model import ChosenMember

Item = TypeVar("Item")
Result = TypeVar("Result")

_BARRIER_SECONDS = 30.0


def on_all(items: Sequence[Item], act: Callable[[Item], Result]) -> list[Result]:
    """Do it for every item, each in a thread of its own; raise the first real error once all are through."""
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=len(items)) as pool:
        futures = [pool.submit(act, item) for item in items]
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return [future.result() for future in futures]


def lock_all(
    connector: Connector, members: Sequence[ChosenMember], lock: Callable[[ChosenMember], float]
) -> list[float]:
    """Lock all members at one barrier; return for each the Unix time at which it was locked.

    :param lock: locks one, and returns that time.
    :raises MongoBackupError: after it some may be locked: the caller undoes it by the journal.
    """
    barrier = threading.Barrier(max(1, len(members)), timeout=_BARRIER_SECONDS)

    def wait_and_lock(member: ChosenMember) -> float:
        try:
            fsync.is_locked(connector, member.host)  # a connection is open and logged in before the start
        except BaseException:
            barrier.abort()
            raise
        barrier.wait()
        return lock(member)

    return on_all(members, wait_and_lock)
