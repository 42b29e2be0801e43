"""What keeps a repository good: checking, forgetting, pruning, letting go of stale locks."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence

from mongo_backup.errors import ConfigurationError, PermanentError
from mongo_backup.model import Model
from mongo_backup.processes import Completed
from mongo_backup.repository.listing import LONG_TIMEOUT, Listing
from mongo_backup.repository.outcome import Cause, cause_of, plain

logger = logging.getLogger(__name__)

PROOF = re.compile(r"Pack ID does not match|pack [0-9a-f]+: (?:does not exist|unexpected file size)|ciphertext verif")
"""What a check says of damage alone: a store that breaks off while it is read makes restic speak of errors too."""
REFUSED = re.compile(
    r"Remove\(<(?!lock/)[a-z]+/[0-9a-f]+>\) (?:returned error|failed).*(?:denied|not permitted|not authorized"
    r"|Forbidden|\b403\b|immutable|retention|legal hold|object lock|worm)",
    re.IGNORECASE,
)
"""A store that refuses to delete. restic would ask ten times, 45 s for each object; and a prune goes on to the next."""
REFUSALS_BELIEVED = 3
"""After so many refusals one after the other nothing more is tried."""
FORGOTTEN_AT_ONCE = 500
"""Ids in one command: Linux takes 2 MiB of arguments (execve(2)), and a policy may come after years without one."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Between two looks at a repository that somebody else has locked."""


class DamagedError(PermanentError):
    """A check found damage.

    :param words: all that restic said.
    """

    def __init__(self, message: str, words: str = "") -> None:
        super().__init__(message)
        self.words = words


class RefusedDeletionError(ConfigurationError):
    """The store does not let go of objects: they are locked, or the credential has no right to delete.

    :param left: ids of the snapshots that are still there.
    """

    def __init__(self, message: str, left: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.left = left


class Pruned(Model):
    """What a prune did, as near as restic's words tell (four digits)."""

    freed_bytes: int | None
    stored_bytes: int | None


_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _bytes_of(label: str, words: str) -> int | None:
    """The size in restic's line `<label>:  3 blobs / 4.769 MiB`."""
    found = re.search(rf"^{label}: .*/ ([0-9.]+) ([KMGT]?i?B)", words, re.MULTILINE)
    return round(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else None


class Upkeep(Listing):
    """Acts on a repository as a whole; the parameters are those of `ResticCommand`."""

    def check(self, *, read_data_subset: str | None = None, timeout: float = 6 * 3600, wait_seconds: float = 0) -> None:
        """Check the repository's structure, and its data where a part is named (`10%`, `1/5`, `2G`).

        :param wait_seconds: how long a lock of somebody else (a running backup) is waited for.
        :raises PermanentError: it is damaged; see `damage.damaged`, which says what is hit.
        """
        # The structure first: it takes moments, and to read a pack that is not there restic tries for a minute each.
        self._check_once((), timeout=timeout, wait_seconds=wait_seconds)
        if read_data_subset:
            self._check_once(("--read-data-subset", read_data_subset), timeout=timeout, wait_seconds=wait_seconds)

    def _check_once(self, subset: tuple[str, ...], *, timeout: float, wait_seconds: float) -> None:
        done = self._alone("check", *subset, timeout=timeout, wait_seconds=wait_seconds)
        if done.status == 0 and not done.timed_out:
            return
        proved = PROOF.search(done.stderr) or cause_of(done.status, done.stderr) is Cause.DAMAGED
        if proved and not done.timed_out:
            message = f"the repository at {self.location} is damaged: {self.words(done)}"
            raise DamagedError(message, done.stdout + done.stderr)
        raise self.error(done, "checking the repository")

    def prune(self, *, timeout: float = 12 * 3600, wait_seconds: float = 0) -> Pruned:
        """Remove data that no snapshot needs any more.

        :param wait_seconds: see `check`.
        :raises ConflictError: the lock is still there.
        :raises RefusedDeletionError: the store does not let go of data; what can be read stays readable.
        """
        done = self._alone("prune", timeout=timeout, wait_seconds=wait_seconds, end_on=REFUSED)
        if REFUSED.search(done.stderr):
            raise RefusedDeletionError(
                f"the store does not let go of data of the repository at {self.location}: {self.words(done)}"
            )
        if done.status != 0 or done.timed_out:
            raise self.error(done, "pruning")
        words = plain(done.stdout)
        return Pruned(freed_bytes=_bytes_of("total prune", words), stored_bytes=_bytes_of("remaining", words))

    def _alone(
        self, *arguments: str, timeout: float, wait_seconds: float, end_on: re.Pattern[str] | None = None
    ) -> Completed:
        """Run what must be alone on the repository; wait while somebody else works on it, let go of stale locks."""
        deadline = time.monotonic() + wait_seconds
        told, pause = False, FIRST_PAUSE_SECONDS
        while True:
            done = self._run(*arguments, timeout=timeout, end_on=end_on)
            locked = done.status != 0 and not done.timed_out and cause_of(done.status, done.stderr) is Cause.LOCKED
            if not locked or time.monotonic() >= deadline:
                return done
            if not told:
                logger.info("waiting up to %.0f s: somebody else works on the repository", wait_seconds)
                told = True
            self.unlock_stale()
            time.sleep(min(pause, max(0.1, deadline - time.monotonic())))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def unlock_stale(self) -> None:
        """Remove locks whose owner is surely gone: dead on this host, or not refreshed for 30 minutes."""
        self._must("removing stale locks", "unlock")

    def remove_stale_locks(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `unlock_stale`; the ids of the locks that went, and of those of somebody who lives."""
        before = self.locks()
        self.unlock_stale()
        left = self.locks()
        return tuple(each for each in before if each not in left), left

    def forget(self, ids: Sequence[str], *, wait_seconds: float = 60) -> None:
        """Remove these snapshots; their data go with the next prune. One that is not there is no error.

        :param wait_seconds: how long a lock of somebody else (a running backup) is waited for.
        :raises ConflictError: the lock is still there.
        :raises RefusedDeletionError: the store does not let go of some; all others are gone.
        """
        if not ids:
            return
        targets = self._present(ids)
        if (refusal := self._forget_all(targets, wait_seconds)) is None:
            return
        # A refused one made restic give up: what else can go, goes one by one.
        in_vain = 0
        for one in self._present(targets):
            if in_vain == REFUSALS_BELIEVED:
                break
            in_vain = in_vain + 1 if self._forget([one], wait_seconds) else 0
        if left := self._present(targets):
            raise RefusedDeletionError(
                f"the store does not let go of {len(left)} snapshots of the repository at {self.location}: {refusal}",
                tuple(left),
            )

    def _present(self, ids: Sequence[str]) -> list[str]:
        present = {snapshot.id for snapshot in self.snapshots(all_hosts=True)}
        return [each for each in ids if each in present]

    def _forget_all(self, ids: Sequence[str], wait_seconds: float) -> str | None:
        """Forget them, so many at a time; returns what restic says where the store refuses: then the rest is there."""
        for start in range(0, len(ids), FORGOTTEN_AT_ONCE):
            if refusal := self._forget(ids[start : start + FORGOTTEN_AT_ONCE], wait_seconds):
                return refusal
        return None

    def _forget(self, ids: Sequence[str], wait_seconds: float) -> str | None:
        """Forget them; returns what restic says where the store refuses."""
        done = self._alone("forget", *ids, timeout=LONG_TIMEOUT, wait_seconds=wait_seconds, end_on=REFUSED)
        if REFUSED.search(done.stderr):
            return self.words(done)
        if done.status != 0 or done.timed_out:
            raise self.error(done, "forgetting snapshots")
        return None
