"""A member in the hands of one dump: held while it is read, let go at its last byte, or when it must be."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from mongo_backup.agent.contract import Held
from mongo_backup.archive.writer import Write
from mongo_backup.connection import Connector
from mongo_backup.errors import (
    ConflictError,
    InterruptedByRequestError,
    MongoBackupError,
    PreconditionError,
    SignalError,
)
from mongo_backup.locks.history import keep_history
from mongo_backup.locks.lease import LeaseKeeper, Released
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode

logger = logging.getLogger(__name__)

_HISTORY_TRIES = 3


class Custody:
    """Keeps the lease of a held member while it is read.

    A dump that may read at a cluster time does not depend on the lock: when the member has to be let go early, its
    history window is raised, and the dump goes on without the lock (the server refuses what it cannot read at that time
    any more, and the catalog is compared at the end).
    Without a cluster time the lock is all there is, and losing it fails the dump.

    :param held: what `lock_secondaries` said of the member; None: a standalone, which nobody holds.
    :param longest_seconds: `max_lock_time`.
    :param max_lag_seconds: a member further behind does not help its set's majority along.
    :raises ConflictError: on entering: this run does not hold the member, and there is no cluster time to read at.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        owner: str,
        member: ChosenMember,
        held: Held | None,
        cluster_time: ClusterTime | None,
        longest_seconds: float,
        max_lag_seconds: float = 30.0,
    ) -> None:
        if held is None and member.mode is not ReadMode.PLAIN:
            raise PreconditionError(f"{member.component} was not held by lock_secondaries: begin the backup again")
        self._connector = connector
        self._longest_seconds = longest_seconds
        self._member = member
        self._held = held
        self._exact = cluster_time is not None
        self._lost: str | None = None
        self._released: Released | None = None
        self._once = threading.Lock()
        self._keeper: LeaseKeeper | None = None
        if held is not None:
            self._keeper = LeaseKeeper(
                connector,
                owner=owner,
                held=held,
                longest_seconds=longest_seconds,
                max_lag_seconds=max_lag_seconds,
                on_demand=self._let_go_early,
            )
        self.read_until: float | None = None
        """Monotonic time at which the last byte was read."""

    def __enter__(self) -> Custody:
        if self._keeper is None:
            return self
        try:
            self._keeper.__enter__()
        except ConflictError as error:
            if not self._exact:
                raise
            logger.warning("%s Going on without a lock, at the cluster time", error)
            self._keeper, self._lost = None, error.message
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is None:
            return
        try:
            # Asked to end: nobody may come after us. After any other failure the next try wants the lock.
            if isinstance(error, InterruptedByRequestError | SignalError | KeyboardInterrupt | SystemExit):
                self._release()
        finally:
            self._keeper.__exit__(kind, error, trace)

    @property
    def consistency(self) -> Consistency:
        """What was achieved for this component, told after the reading."""
        if self._held is None:
            return Consistency.NONE
        intact = self._released is None or self._released.intact
        if self._held.mode == ReadMode.LOCK.value and self._lost is None and intact:
            return Consistency.LOCKED
        return Consistency.SNAPSHOT if self._exact else Consistency.NONE

    @property
    def locked_seconds(self) -> float | None:
        """How long the member was locked; None where it was not, or still is."""
        if self._held is None or self._held.mode != ReadMode.LOCK.value or self._released is None:
            return None
        return self._released.seconds

    def checked(self, write: Write) -> Write:
        """Return `write`, which from now on fails once a lock that is needed was lost."""

        def guarded(data: bytes | memoryview) -> None:
            if self._lost is not None and not self._exact:
                raise PreconditionError(f"the dump is given up: {self._lost}")
            write(data)

        return guarded

    def read_complete(self) -> None:
        """The last byte was read: let the member go, although bytes may still wait for the store.

        The config server's member stays readable at the cluster time, by a raised history window: the shards ask it
        which ranges they own. The task `unlock_config_server` sets the window back.
        """
        self.read_until = time.monotonic()
        if self._member.role is not ComponentRole.CONFIG or self._keeps_history():
            self._release()

    def _keeps_history(self) -> bool:
        """Whether the member may be let go without the shards losing sight of the cluster time."""
        if self._keeper is None or self._held is None or self._held.mode != ReadMode.LOCK.value or not self._exact:
            return False
        try:
            keep_history(self._connector, lock=self._keeper.entry, seconds=int(self._longest_seconds))
        except MongoBackupError as error:
            logger.warning("%s: its history is kept no longer than usual: %s", self._member.host, error)
            return False
        return True

    def _let_go_early(self, reason: str) -> None:
        self._lost = reason
        self._release()
        for _ in range(_HISTORY_TRIES):  # the set may be without a primary for the journal, still
            if self._released is None or not self._released.intact or self._keeps_history():
                return

    def _release(self) -> None:
        with self._once:
            if self._keeper is None or self._released is not None:
                return
            try:
                self._released = self._keeper.release()
            except MongoBackupError as error:
                # The task unlock_secondaries tries again; the data that were read are none the worse for it.
                logger.error("%s could not be let go by the dump: %s", self._member.host, error)
