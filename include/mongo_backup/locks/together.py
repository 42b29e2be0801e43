"""Do one thing on all members at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from mongo_backup.connection import Connector
from mongo_backup.locks import fsync
from mongo_backup.topology.model import ChosenMember

Item = TypeVar("Item")
Result = TypeVar("Result")

_BARRIER_SECONDS = 30.0
SETTLE_SECONDS = 10.0
"""So long threads are waited for when a signal has ended what they were for."""


def on_all(
    items: Sequence[Item], act: Callable[[Item], Result], *, give_up: Callable[[], object] = lambda: None
) -> list[Result]:
    """Do it for every item, each in a thread of its own; raise the first real error once all are through.

    A signal that ends the wait does not end the threads: what follows, such as an undo, must not run beside them. So
    they have `SETTLE_SECONDS` before the signal's exception goes on.

    :param give_up: called then first.
    """
    futures: list[Future[Result]] = []
    pool = ThreadPoolExecutor(max_workers=max(1, len(items)))
    try:
        for item in items:
            futures.append(pool.submit(act, item))
        wait(futures)
    except BaseException:
        give_up()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(futures, timeout=SETTLE_SECONDS)
        raise
    pool.shutdown()
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

    return on_all(members, wait_and_lock, give_up=barrier.abort)
