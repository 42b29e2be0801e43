"""While a member is read: keep its lease alive, watch its time limits, and let it go at its last byte."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType

import pymongo

from mongo_backup.agent.contract import Held
from mongo_backup.connection import Connector
from mongo_backup.errors import ConflictError, MongoBackupError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.fsync import is_locked, member_clock, process_id
from mongo_backup.locks.need import LOOK_SECONDS, Need, lacks_primary, primary_of
from mongo_backup.locks.release import release, undo
from mongo_backup.locks.safety import oplog_window
from mongo_backup.model import Model
from mongo_backup.topology.model import ReadMode

logger = logging.getLogger(__name__)

_RENEWALS_PER_LEASE = 6
_LONGEST_PAUSE_SECONDS = 30.0
_OPLOG_SHARE = 0.8
"""A member locked for this share of the oplog's window must be let go, or it cannot catch up any more."""
_KINDS = {ReadMode.LOCK.value: JournalKind.FSYNC_LOCK, ReadMode.WINDOW.value: JournalKind.HISTORY_WINDOW}


class Released(Model):
    """One member was let go."""

    seconds: float
    """Since it was locked, or its window raised."""
    intact: bool
    """It was held by us until now. False: what was read without a cluster time may not be one point."""
    words: str
    """What was done."""


def own_entry(connector: Connector, *, owner: str, held: Held) -> JournalEntry:
    """Return the journal's entry for a member that this run holds; call it before reading the member.

    :raises ConflictError: this run does not hold it (any more).
    """
    kind = _KINDS[held.mode]
    for entry in Journal(connector).entries(owner):
        if entry.kind is kind and entry.component == held.component and entry.host == held.host:
            if (problem := _lost(connector, entry)) is None:
                return entry
            raise ConflictError(f"{held.component}: {held.host} is not held by this run any more: {problem}")
    raise ConflictError(
        f"{held.component}: {held.host} is not held by this run (its journal has no entry): it was released meanwhile,"
        " or its lease has ended. Begin the backup again from its lock"
    )


def _lost(connector: Connector, entry: JournalEntry) -> str | None:
    if entry.process is not None and process_id(connector, entry.host) != entry.process:
        return "the server was restarted"
    if entry.kind is JournalKind.FSYNC_LOCK and not is_locked(connector, entry.host):
        return "it is not locked"
    return None


def held_seconds(connector: Connector, held: Held) -> float:
    """How long a member is held, by its own clock.

    :raises TransientError: it does not answer.
    """
    if held.member_time is None:
        return time.time() - held.at
    return member_clock(connector, held.host) - held.member_time


def release_member(connector: Connector, *, entry: JournalEntry, held: Held, since: float | None = None) -> Released:
    """Let one member go and remove its entry. Doing it again does no harm.

    The lock is taken off even where the journal cannot be reached: that it is ours was seen at the start. The entry
    then stays for the unlock step.

    :param entry: what `own_entry` returned.
    :param since: monotonic time since when it is held; None: the member is asked.
    :raises TransientError: the member does not answer.
    """
    lost = _lost(connector, entry)
    words = undo(connector, entry)
    seconds = held_seconds(connector, held) if since is None else time.monotonic() - since
    logger.info("%s (held for %.1f s)%s", words, seconds, f"; it was lost before: {lost}" if lost else "")
    try:
        Journal(connector).remove(entry)
    except MongoBackupError as error:
        logger.warning("%s is let go, but its journal entry stays for now: %s", held.host, error)
    return Released(seconds=round(seconds, 3), intact=lost is None, words=words)


def let_go_without_primary(connector: Connector, *, owner: str, held: Held | None) -> None:
    """Open a run's lock where the member's set has no primary: before a step that needs the journal of that set.

    Nobody looks at a locked member between the step that locks it and the one that reads it.
    """
    if held is None or held.mode != ReadMode.LOCK.value or not lacks_primary(connector, held.host):
        return
    logger.error("%s has no primary, and its member %s is locked: it is let go", held.component, held.host)
    release(connector, owner=owner, kinds={JournalKind.FSYNC_LOCK}, components={held.component}, tolerant=True)


class LeaseKeeper:
    """Renews the run's leases in a thread, and says when the member must be let go.

    :param owner: the run.
    :param held: the member that is read.
    :param longest_seconds: `max_lock_time`: after this, counted from the lock, the member must be let go.
    :param on_demand: called once, in the thread, with the reason why the member must be let go; `demand` keeps it.
    :param max_lag_seconds: a member of the set that is further behind does not help `w: majority` writes along.
    :param pause_seconds: between two looks; None: a sixth of the lease, 30 s at most. Whether its set needs a locked
        member back is looked at more often.
    :raises ConflictError: on entering: this run does not hold the member.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        owner: str,
        held: Held,
        longest_seconds: float,
        on_demand: Callable[[str], None],
        max_lag_seconds: float = 30.0,
        pause_seconds: float | None = None,
    ) -> None:
        self._connector = connector
        self._owner = owner
        self._held = held
        self._longest_seconds = longest_seconds
        self._on_demand = on_demand
        self._pause_seconds = pause_seconds
        self._entry: JournalEntry | None = None
        self._since = 0.0
        self._stop = threading.Event()
        self._need = Need(connector, component=held.component, host=held.host, max_lag_seconds=max_lag_seconds)
        looks = [self._run, *([self._run_need] if held.mode == ReadMode.LOCK.value else [])]
        self._threads = [threading.Thread(target=look, name=f"lease {held.component}", daemon=True) for look in looks]
        self._demanding = threading.Lock()
        self._release_lock = threading.Lock()
        self._released: Released | None = None
        self.demand: str | None = None

    def __enter__(self) -> LeaseKeeper:
        self._entry = own_entry(self._connector, owner=self._owner, held=self._held)
        self._since = time.monotonic() - held_seconds(self._connector, self._held)
        self._renew()
        if self._pause_seconds is None:
            self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._entry.lease_seconds / _RENEWALS_PER_LEASE)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def entry(self) -> JournalEntry:
        """What the journal says of the member.

        :raises ConflictError: the lease has not begun.
        """
        if self._entry is None:
            raise ConflictError(f"{self._held.host} was never held: the lease has not begun")
        return self._entry

    def release(self) -> Released:
        """Let the member go: its last byte is read. A second call gives the first answer. The leases are renewed on.

        :raises TransientError: see `release_member`.
        """
        with self._release_lock:
            if self._released is None:
                self._released = release_member(self._connector, entry=self.entry, held=self._held, since=self._since)
            return self._released

    def _run(self) -> None:
        while not self._stop.wait(self._pause_seconds):
            self._try(self._renew, "the lease was not renewed")
            self._try(self._watch, "the member was not looked at")

    def _run_need(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._try(self._watch_need, "its set was not looked at", level=logging.INFO)

    def _try(self, act: Callable[[], None], what: str, *, level: int = logging.WARNING) -> None:
        try:
            act()
        except MongoBackupError as error:
            logger.log(level, "%s: %s this time: %s", self._held.component, what, error)
        except Exception:  # whatever it is, the next look comes: a thread that dies would leave the member unwatched
            logger.exception("%s: %s this time", self._held.component, what)

    def _renew(self) -> None:
        Journal(self._connector).renew(self._owner)

    @property
    def _over(self) -> bool:
        return self._released is not None or self.demand is not None

    def _watch(self) -> None:
        if not self._over:
            self._demand(self._time_problem() or _lost(self._connector, self.entry) or self._oplog_problem())

    def _watch_need(self) -> None:
        if not self._over:
            self._demand(self._need.problem())

    def _demand(self, reason: str | None) -> None:
        with self._demanding:
            if reason is None or self._over:
                return
            self.demand = f"{self._held.component}: {self._held.host} must be let go: {reason}"
        logger.error("%s", self.demand)
        self._on_demand(self.demand)

    def _held_for(self) -> float:
        return time.monotonic() - self._since

    def _time_problem(self) -> str | None:
        if self._held.mode == ReadMode.LOCK.value and self._held_for() > self._longest_seconds:
            return f"max_lock_time of {self._longest_seconds:.0f} s is over"
        return None

    def _oplog_problem(self) -> str | None:
        """A locked member applies nothing; the others' oplogs must still hold what it misses."""
        if self._held.mode != ReadMode.LOCK.value:
            return None
        primary = primary_of(self._connector, self._held.host)
        if primary is None:
            return None  # see `mongo_backup.locks.need`
        with pymongo.timeout(_LONGEST_PAUSE_SECONDS):
            window = oplog_window(self._connector, primary)
        locked = self._held_for()
        if window is None or locked < _OPLOG_SHARE * window:
            return None
        return f"locked for {locked:.0f} s, and the oplog of {primary} reaches back {window:.0f} s only"
