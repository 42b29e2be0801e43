"""Whether its set needs a locked member back: it can neither vote nor acknowledge a write.

A vote is written down before it is given (`local.replset.election`;
https://github.com/mongodb/mongo/blob/v6.0/src/mongo/db/repl/topology_coordinator.cpp, `processReplSetRequestVotes`),
and nothing is written under fsyncLock. So a set of three that loses its primary finds no new one while a secondary is
locked, whatever `safety` said before; and without a primary the journal of that set cannot be written either. A set
that loses another secondary keeps its primary, and its `w: majority` writes wait.
"""

from __future__ import annotations

import time

import pymongo

from mongo_backup.connection import Connector
from mongo_backup.errors import MongoBackupError
from mongo_backup.locks.fsync import POLL_SECONDS, answers
from mongo_backup.locks.safety import majority_problem
from mongo_backup.topology.model import ComponentRole
from mongo_backup.topology.replica_set import read_component

ELECTION_SECONDS = 5.0
"""So long a set may be without a primary: an election that does not need the member is over by then."""
MAJORITY_SECONDS = 20.0
"""So long the others may be too few: one that was restarted, or is behind for a moment, is no reason."""
LOOK_SECONDS = 2.0
_WHOLE_LOOK_SECONDS = 10.0
_ANSWER_SECONDS = 5.0


def primary_of(connector: Connector, host: str) -> str | None:
    """The primary that a member, a locked one too, sees; None: its set has none.

    :raises TransientError: the member does not answer.
    """
    with answers("asking for its primary", host, seconds=_ANSWER_SECONDS):
        found = connector.member(host).admin.command("hello").get("primary")
    return None if found is None else str(found)


def lacks_primary(connector: Connector, host: str, *, seconds: float = ELECTION_SECONDS) -> bool:
    """Whether a member's set has no primary, and gets none within `seconds`. No where the member does not say."""
    deadline = time.monotonic() + seconds
    try:
        while primary_of(connector, host) is None:
            if time.monotonic() >= deadline:
                return True
            time.sleep(POLL_SECONDS)
    except MongoBackupError:
        return False
    return False


class Need:
    """Watches the set of one locked member.

    :param max_lag_seconds: another member further behind than this does not help `w: majority` writes along.
    """

    def __init__(self, connector: Connector, *, component: str, host: str, max_lag_seconds: float) -> None:
        self._connector = connector
        self._component = component
        self._host = host
        self._max_lag_seconds = max_lag_seconds
        self._without_primary: float | None = None
        self._too_few: float | None = None
        self._next_whole_look = 0.0

    def problem(self) -> str | None:
        """Look once; return why the set needs the member back, when that has lasted long enough.

        :raises MongoBackupError: the member does not answer.
        """
        now = time.monotonic()
        if primary_of(self._connector, self._host) is None:
            self._without_primary = self._without_primary or now
            lasted = now - self._without_primary
            return (
                None
                if lasted < ELECTION_SECONDS
                else (
                    f"{self._component} has had no primary for {lasted:.0f} s, and a locked member cannot vote for one"
                )
            )
        self._without_primary = None
        if now < self._next_whole_look:
            return None
        self._next_whole_look = now + _WHOLE_LOOK_SECONDS
        return self._majority(now)

    def _majority(self, now: float) -> str | None:
        host = self._host
        with answers("asking how its set is", host, seconds=_ANSWER_SECONDS):
            hello = self._connector.member(host).admin.command("hello")
        with pymongo.timeout(_WHOLE_LOOK_SECONDS):
            found = read_component(
                self._connector, name=self._component, role=ComponentRole.REPLICA_SET, host=host, hello=hello
            )
        member = next((each for each in found.members if each.host == host), None)
        problem = member and majority_problem(found, member, max_lag_seconds=self._max_lag_seconds)
        if not problem:
            self._too_few = None
            return None
        self._too_few = self._too_few or now
        return problem if now - self._too_few >= MAJORITY_SECONDS else None
