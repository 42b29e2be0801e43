"""The journal on the target: what was done to it that must be undone, written before it is done; and who is at work.

Collection `admin.mongo_backup_journal` on the primary of the config server, or of the replica set, or on the
standalone. Written and read with majority, so that a new primary knows it too. Expiry is measured by the server's own
clock (`$$NOW`), so that the clocks of workers do not matter.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any

import pymongo
from pydantic import Field
from pymongo import WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from mongo_backup.connection import Client, Connector, mongo_errors
from mongo_backup.errors import TargetBusyError, TransientError
from mongo_backup.model import Model
from mongo_backup.namespaces import JOURNAL_COLLECTION, JOURNAL_DB
from mongo_backup.objects.app_binding import ReplicaSetAddress
from mongo_backup.topology.replica_set import greet_all

logger = logging.getLogger(__name__)

LEASE_SECONDS = 600.0
"""How long an entry counts as alive without a renewal: longer than a pod waits for a place between two steps."""
_WRITE = WriteConcern(w="majority")
_ANSWER_SECONDS = 30.0
_ELECTION_SECONDS = 15.0
"""So long a primary is waited for before the journal is read without one; an election takes 12 s by default."""

_RENEW = {
    "$set": {
        "expires": {
            "$min": [  # of nothing and a date it takes the date
                {"$add": ["$$NOW", {"$multiply": ["$lease_seconds", 1000]}]},
                {"$add": ["$created", {"$multiply": ["$longest_seconds", 1000]}]},
            ]
        }
    }
}


class JournalKind(StrEnum):
    """What is to be undone."""

    BALANCER = "balancer"
    """The balancer was stopped; `former` is its mode."""
    FSYNC_LOCK = "fsync_lock"
    """The member was fsyncLocked; `process` is the server process that was."""
    HISTORY_WINDOW = "history_window"
    """`minSnapshotHistoryWindowInSeconds` was raised from `former` to `value`."""
    TARGET = "target"
    """A run is at work on the deployment; there is nothing to undo. See `mongo_backup.locks.target`."""


MARKS = frozenset(JournalKind) - {JournalKind.TARGET}
"""Kinds of entries that stand for something to be undone."""


class JournalEntry(Model):
    """One act and its undo."""

    kind: JournalKind
    owner: str
    """The run that did it (`RunIdentity.owner`)."""
    set_id: str | None = None
    component: str
    host: str
    """The member; for the balancer `*`."""
    former: str | int | None = None
    value: int | None = None
    process: str | None = None
    """`hello.topologyVersion.processId` of the member: after a restart there is nothing to undo."""
    answered: bool = False
    """Of `balancer`: the server has answered our command, so that none is on its way any more."""
    token: int = 0
    """Of `target`: the newest try that was about to commit. An older one may not commit any more."""
    lease_seconds: float = Field(default=LEASE_SECONDS, gt=0)
    longest_seconds: float | None = None
    """No renewal reaches further than this after `created`: the session's `max_lock_time`."""
    created: datetime | None = None
    expires: datetime | None = None
    alive: bool = True
    """The lease had not expired when the entry was read."""

    @property
    def id(self) -> str:
        """One act of a kind per member."""
        return f"{self.kind}:{self.component}:{self.host}"

    def __str__(self) -> str:
        """For messages."""
        what = {
            JournalKind.BALANCER: "the stopped balancer",
            JournalKind.FSYNC_LOCK: f"the lock of {self.component} at {self.host}",
            JournalKind.HISTORY_WINDOW: f"the history window of {self.component} at {self.host}",
            JournalKind.TARGET: "the target",
        }[self.kind]
        since = f" since {self.created:%Y-%m-%d %H:%M:%S} UTC" if self.created else ""
        until = f", leased until {self.expires:%Y-%m-%d %H:%M:%S} UTC" if self.expires else ""
        return f"{what}, held by {self.owner}{since}{until}"


def busy(entry: JournalEntry) -> TargetBusyError:
    """The error for an entry of another run that is alive."""
    dag, _, run = entry.owner.partition("/")
    since = f", since {entry.created:%Y-%m-%d %H:%M:%S} UTC" if entry.created else ""
    until = f" at {entry.expires:%H:%M:%S} UTC" if entry.expires else ""
    return TargetBusyError(
        f"another run is at work on this deployment: DAG {dag}, run {run}{since}. If that run is dead, its lease ends"
        f" by itself{until}; `mongo-backup release` shows and ends it"
    )


class Journal:
    """The journal of one deployment.

    Every method raises `TransientError` where the primary or a majority does not answer.
    """

    def __init__(self, connector: Connector) -> None:
        spec = connector.binding.spec
        self._address: ReplicaSetAddress | None = spec.config_server or spec.replica_set
        self._connector = connector

    def _client(self) -> Client:
        if self._address is None:
            return self._connector.member(self._connector.binding.spec.hosts[0])
        return self._connector.primary(self._address.hosts, self._address.replica_set)

    @property
    def _collection(self) -> Collection[dict[str, Any]]:
        reading = ReadConcern("majority" if self._address else "local")  # a standalone knows no majority reads
        return (
            self._client()
            .get_database(JOURNAL_DB)
            .get_collection(JOURNAL_COLLECTION, write_concern=_WRITE, read_concern=reading)
        )

    @contextmanager
    def _errors(self, doing: str, *, seconds: float = _ANSWER_SECONDS) -> Iterator[None]:
        name = self._address.replica_set if self._address else self._connector.binding.spec.hosts[0]
        where = f"the journal of {name}"
        with mongo_errors(doing, where), pymongo.timeout(seconds):
            yield

    def entries(self, owner: str | None = None) -> tuple[JournalEntry, ...]:
        """Return all entries, or those of one owner, oldest first; `alive` says whether the lease holds.

        While its set has no primary, they are read from the member that has applied most.
        """
        pipeline: list[dict[str, Any]] = [
            {"$match": {} if owner is None else {"owner": owner}},
            {"$addFields": {"alive": {"$gt": ["$expires", "$$NOW"]}}},
            {"$sort": {"created": 1, "_id": 1}},
            {"$project": {"_id": 0}},
        ]
        try:
            with self._errors("reading", seconds=_ELECTION_SECONDS):
                found = list(self._collection.aggregate(pipeline))
        except TransientError:
            if (member := self._newest_member()) is None:
                raise
            logger.warning("No primary answers: the journal is read from %s", member)
            with self._errors("reading"):
                found = list(self._of_member(member).aggregate(pipeline))
        return tuple(JournalEntry.model_validate(document) for document in found)

    def _newest_member(self) -> str | None:
        """Where the journal can be read while its set has no primary: the member that has applied most.

        A set may have none because a member that we have locked cannot vote; to open it the journal must be read.
        What was acknowledged by a majority is there: it takes a majority to elect, so one that has it must be up.
        """
        hellos = greet_all(self._connector, self._address.hosts if self._address else ())
        known = {host for hello in hellos.values() if isinstance(hello, dict) for host in hello.get("hosts", ())}
        hellos |= greet_all(self._connector, known - hellos.keys())
        applied = {
            host: hello["lastWrite"]["opTime"]["ts"]
            for host, hello in hellos.items()
            if isinstance(hello, dict) and hello.get("secondary") and not hello.get("primary")
        }
        return max(applied, key=applied.__getitem__) if applied else None

    def _of_member(self, host: str) -> Collection[dict[str, Any]]:
        return self._connector.member(host).get_database(JOURNAL_DB).get_collection(JOURNAL_COLLECTION)

    def write(self, entry: JournalEntry) -> JournalEntry:
        """Write an entry before its act. An entry of the same owner that is there already stays, with a new lease.

        So a second try of a step keeps the former state that the first one found.

        :returns: the entry as it stands.
        :raises TargetBusyError: another owner has it (alive or not: the caller undoes an expired one first).
        """
        fields = entry.model_dump(mode="python", exclude={"created", "expires", "alive"}) | {"kind": entry.kind.value}
        new: dict[str, Any] = {name: {"$literal": value} for name, value in fields.items()} | {"created": "$$NOW"}
        kept_or_new = {"$cond": [{"$ifNull": ["$created", False]}, {}, new]}
        change = {"$replaceWith": {"$mergeObjects": ["$$ROOT", kept_or_new]}}
        with self._errors("writing"):
            try:
                self._collection.update_one({"_id": entry.id, "owner": entry.owner}, [change, _RENEW], upsert=True)
            except DuplicateKeyError:
                raise busy(self._entry(entry.id) or entry) from None
        return self._entry(entry.id) or entry

    def _entry(self, entry_id: str) -> JournalEntry | None:
        return next((entry for entry in self.entries() if entry.id == entry_id), None)

    def make_way(
        self, owner: str, undo: Callable[[JournalEntry], str], *, kinds: Iterable[JournalKind] | None = None
    ) -> None:
        """See that no other run is at work here: undo what a dead one left, of the given kinds.

        :param undo: does it, and says in words what was done.
        :raises TargetBusyError: an entry of another owner is alive.
        """
        others = [entry for entry in self.entries() if entry.owner != owner]
        for entry in others:
            if entry.alive:
                raise busy(entry)
        for entry in others:
            if kinds is None or entry.kind in kinds:
                self._take_over(entry, undo)

    def _take_over(self, entry: JournalEntry, undo: Callable[[JournalEntry], str]) -> None:
        logger.warning("Taking over: %s has expired", entry)
        try:
            logger.warning("Undone: %s", undo(entry))
        except TransientError as error:  # a member that is down must not stop the backups of the others
            logger.error("Not undone, it stays in the journal: %s", error)
            return
        self.remove(entry, expired_only=entry.kind is JournalKind.TARGET)

    def renew(self, owner: str, *, kind: JournalKind | None = None) -> int:
        """Start the leases of an owner anew, never beyond their longest time; return how many entries it holds.

        :param kind: only entries of this kind.
        """
        wanted = {"owner": owner} | ({"kind": kind.value} if kind else {})
        with self._errors("renewing the lease in"):
            return self._collection.update_many(wanted, [_RENEW]).matched_count

    def pass_fence(self, owner: str, token: int) -> bool:
        """Renew an owner's hold on the target, for this token or a newer one from now on.

        :returns: whether it holds the target and no newer token has passed.
        """
        wanted = {"kind": JournalKind.TARGET.value, "owner": owner, "token": {"$not": {"$gt": token}}}
        with self._errors("renewing the lease in"):
            return self._collection.update_one(wanted, [{"$set": {"token": token}}, _RENEW]).matched_count > 0

    def note_answer(self, entry: JournalEntry, answered: bool) -> None:
        """Write down, in an entry that is there, whether the act's command may still be on its way."""
        with self._errors("writing"):
            self._collection.update_one({"_id": entry.id, "owner": entry.owner}, {"$set": {"answered": answered}})

    def remove(self, entry: JournalEntry, *, expired_only: bool = False) -> bool:
        """Remove an entry after its undo; one that is gone already is fine. Return whether it was removed.

        :param expired_only: not if its lease was renewed since it was read.
        """
        wanted: dict[str, Any] = {"_id": entry.id, "owner": entry.owner}
        if entry.created is not None:  # not one that a newer try has written meanwhile
            wanted["created"] = entry.created
        if expired_only:
            wanted["$expr"] = {"$lte": ["$expires", "$$NOW"]}
        with self._errors("removing an entry from"):
            return self._collection.delete_one(wanted).deleted_count > 0
