"""One run at a time on a deployment: it holds the target, by an entry of the journal, from its first step to its last.

The entry stands on the deployment itself, so it counts for every schedule, configuration, AppBinding and Airflow. Each
step takes it again when it begins and renews it while it works; between two steps nobody does. So the lease must
outlast the longest wait between tasks, and is all the time for which a run that died keeps others waiting. A run whose
lease has ended takes the target again with its next step if it is free, and is refused if it is not.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mongo_backup.connection import Connector
from mongo_backup.errors import (
    MongoBackupError,
    PreconditionError,
    SignalError,
    TargetBusyError,
    TransientError,
)
from mongo_backup.journal import LEASE_SECONDS, Journal, JournalEntry, JournalKind

logger = logging.getLogger(__name__)

RESTORE_LEASE_SECONDS = 3600.0
"""Between two steps of a restore its target is half restored: no backup may take it then."""
RENEWAL_SECONDS = 30.0
_TARGET = "target"
_ALL = "*"


def occupy(
    connector: Connector, *, owner: str, set_id: str | None = None, lease_seconds: float = LEASE_SECONDS
) -> None:
    """Take the target for a run, or renew its lease. What a dead run held is taken over.

    :raises TargetBusyError: another run is at work on it.
    :raises TransientError: the journal does not answer.
    """
    journal = Journal(connector)
    if journal.renew(owner, kind=JournalKind.TARGET):
        return
    journal.make_way(owner, ended, kinds={JournalKind.TARGET})
    journal.write(
        JournalEntry(
            kind=JournalKind.TARGET,
            owner=owner,
            set_id=set_id,
            component=_TARGET,
            host=_ALL,
            lease_seconds=lease_seconds,
        )
    )


def refuse_others(connector: Connector, owner: str) -> None:
    """See that no other run is at work, and take nothing.

    :raises TargetBusyError: one is.
    """
    Journal(connector).make_way(owner, ended, kinds=())


def ended(entry: JournalEntry) -> str:
    """What the undo of such an entry is, in words: there is nothing to undo."""
    return f"the target is free again of {entry.owner}"


@contextmanager
def at_work(
    connector: Connector,
    *,
    owner: str,
    set_id: str | None = None,
    lease_seconds: float = LEASE_SECONDS,
    pause_seconds: float = RENEWAL_SECONDS,
) -> Iterator[None]:
    """Hold the target for a run while the block runs, and renew all leases of the run.

    Should another run have taken the target meanwhile (this process was stopped for longer than the lease, or a person
    released it), the block is ended as by SIGTERM.

    :raises TargetBusyError: another run is at work on the target, or has taken it over meanwhile.
    """
    lost: list[TargetBusyError] = []

    def renew() -> bool:
        try:
            occupy(connector, owner=owner, set_id=set_id, lease_seconds=lease_seconds)
            Journal(connector).renew(owner)
        except TargetBusyError as error:
            lost.append(error)
            logger.error("This run has lost its target: %s", error)
            _interrupt()
            return False
        return True

    occupy(connector, owner=owner, set_id=set_id, lease_seconds=lease_seconds)
    try:
        with _every(pause_seconds, renew):
            yield
    except SignalError as error:
        if lost:
            raise lost[0] from error
        raise


@contextmanager
def leased(connector: Connector, owner: str, *, pause_seconds: float = RENEWAL_SECONDS) -> Iterator[None]:
    """Renew what a run holds while the block runs, for steps that do not touch the target. What is lost is lost."""

    def renew() -> bool:
        Journal(connector).renew(owner)
        return True

    renew()
    with _every(pause_seconds, renew):
        yield


def fence(connector: Connector, *, owner: str, token: int) -> None:
    """Let what a run does last happen only while it is this run's turn: called just before.

    A process that was forgotten (its node was cut off, its run is over, a newer try took its place) ends here. Where
    the target does not answer it goes on: a backup is worth most when its source is gone.

    :param token: number of the try; from now on no older one passes.
    :raises PreconditionError: the run does not hold the target any more, or a newer try has passed.
    """
    journal = Journal(connector)
    try:
        if journal.pass_fence(owner, token):
            return
        holders = [entry for entry in journal.entries() if entry.kind is JournalKind.TARGET]
    except TransientError as error:
        logger.warning("Whether this run still holds its target cannot be seen: %s", error)
        return
    newer = any(entry.owner == owner for entry in holders)
    reason = "a newer try of this step" if newer else next((str(each) for each in holders), "nobody: its run has ended")
    raise PreconditionError(
        f"this try of {owner} has lost its target to {reason}. Nothing was committed; if no other run made a backup "
        "meanwhile, start one"
    )


@contextmanager
def _every(seconds: float, act: Callable[[], bool]) -> Iterator[None]:
    """Do it again and again in a thread, until it says False or the block ends."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            try:
                if not act():
                    return
            except MongoBackupError as error:  # the next renewal comes long before the lease ends
                logger.warning("The leases were not renewed this time: %s", error)
            except Exception:  # whatever it is: without this thread the lease would end while the step works
                logger.exception("The leases were not renewed this time")

    keeper = threading.Thread(target=run, name="target", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _interrupt() -> None:
    """End the step in order; the agent listens to SIGTERM (`mongo_backup.agent.lifetime`)."""
    if callable(signal.getsignal(signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)
