"""What a hold writes into the journal before it touches a member, and how it takes it back."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Literal

from mongo_backup.connection import Connector
from mongo_backup.errors import MongoBackupError
from mongo_backup.journal import LEASE_SECONDS, Journal, JournalEntry, JournalKind
from mongo_backup.locks import fsync
from mongo_backup.locks.release import release, undo
from mongo_backup.locks.safety import measure
from mongo_backup.locks.together import on_all
from mongo_backup.locks.window import read_window, set_window
from mongo_backup.model import Model
from mongo_backup.topology.model import ChosenMember, ReadMode, Topology

logger = logging.getLogger(__name__)

MEMBER_KINDS = frozenset({JournalKind.FSYNC_LOCK, JournalKind.HISTORY_WINDOW})
_SHORTEST_WINDOW_SECONDS = 3600
_WINDOW_FACTOR = 4
"""The window is this much longer than the dump is expected to take."""


class HoldSettings(Model):
    """What a session says about holding members."""

    owner: str
    """`RunIdentity.owner`."""
    set_id: str | None = None
    max_lock_time: timedelta = timedelta(hours=6)
    when_unsafe: Literal["snapshot", "fail"] = "snapshot"
    max_lag_seconds: float = 30.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    wait_seconds: float = 60.0
    """How long a member may take to reach T."""
    lease_seconds: float = LEASE_SECONDS


class Claims:
    """A run's journal entries for the members that it holds.

    :param members: in the mode in which each is held.
    """

    def __init__(
        self, connector: Connector, *, topology: Topology, members: Sequence[ChosenMember], settings: HoldSettings
    ) -> None:
        self._connector = connector
        self._topology = topology
        self._members = members
        self._settings = settings
        self._journal = Journal(connector)

    def refuse_others(self) -> None:
        """No other run may be at work; what a dead one left is undone.

        :raises TargetBusyError: one is.
        """
        self._journal.make_way(self._settings.owner, lambda entry: undo(self._connector, entry))

    def release_own(self, *, but: Collection[str] = ()) -> None:
        """Undo an earlier try's, and for all members together the config server's.

        :param but: not of these components.
        """
        release(
            self._connector,
            owner=self._settings.owner,
            kinds=MEMBER_KINDS,
            components={member.component for member in self._members} - set(but),
        )

    def raise_windows(self) -> None:
        """Raise the history window of each member that is read without a lock, its entry written before."""
        for member in (each for each in self._members if each.mode is not ReadMode.LOCK):
            entry = self._window_entry(member)
            self._journal.write(entry)
            if entry.value is not None:
                set_window(self._connector, member.host, entry.value)
                logger.info(
                    "%s: history window of %s raised from %s s to %d s",
                    member.component,
                    member.host,
                    entry.former,
                    entry.value,
                )

    def announce_locks(self) -> None:
        """Write an entry for each member that is locked next, and see that no other run is at work.

        Not earlier: whoever undoes an entry takes a lock off, and one that was taken by somebody else while we prepared
        is not ours to open.

        :raises TargetBusyError: another run is at work: two that began together see each other now.
        """
        on_all(
            [each for each in self._members if each.mode is ReadMode.LOCK],
            lambda member: self._journal.write(self._lock_entry(member)),
        )
        self.refuse_others()

    def release_locks(self) -> None:
        """Take the locks off again, and their entries away; windows stay raised."""
        release(
            self._connector,
            owner=self._settings.owner,
            kinds={JournalKind.FSYNC_LOCK},
            components=[member.component for member in self._members],
        )

    def _lock_entry(self, member: ChosenMember) -> JournalEntry:
        settings = self._settings
        return JournalEntry(
            kind=JournalKind.FSYNC_LOCK,
            owner=settings.owner,
            set_id=settings.set_id,
            component=member.component,
            host=member.host,
            process=fsync.process_id(self._connector, member.host),
            lease_seconds=settings.lease_seconds,
            longest_seconds=settings.max_lock_time.total_seconds(),
        )

    def _window_entry(self, member: ChosenMember) -> JournalEntry:
        settings = self._settings
        former = read_window(self._connector, member.host)
        component = self._topology.component(member.component)
        expected = measure(self._connector, component, max_lock_time=settings.max_lock_time).expected_lock_seconds
        return JournalEntry(
            kind=JournalKind.HISTORY_WINDOW,
            owner=settings.owner,
            set_id=settings.set_id,
            component=member.component,
            host=member.host,
            former=former,
            value=max(former, _SHORTEST_WINDOW_SECONDS, int(_WINDOW_FACTOR * expected)),
            process=fsync.process_id(self._connector, member.host),
            lease_seconds=settings.lease_seconds,
        )

    def undo_after(self, cause: BaseException, *, asked: Collection[str] = ()) -> None:
        """Undo after a failure; what cannot be undone now stays in the journal.

        :param asked: components of which a lock is asked for and not answered: it may reach the member after this.
        """
        if asked:
            logger.error("Locks of %s may still come: their journal entries stay for the next look", sorted(asked))
        try:
            self.release_own(but=asked)
        except MongoBackupError as error:
            logger.error("After the failure (%s) not all could be undone: %s", cause, error)

    def forget_lock(self, member: ChosenMember) -> None:
        """Remove a lock's entry without an undo: our lock is off, and another one is not ours to open."""
        self._journal.remove(self._lock_entry(member))
