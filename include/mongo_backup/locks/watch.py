"""What the watchdog does on one deployment: undo what dead runs left, and tell what it leaves alone, and why."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from mongo_backup.agent.release_contract import WatchResult
from mongo_backup.connection import Connector
from mongo_backup.errors import MongoBackupError
from mongo_backup.journal import Journal, JournalKind
from mongo_backup.locks.fsync import is_locked
from mongo_backup.locks.release import release
from mongo_backup.topology.discover import discover

logger = logging.getLogger(__name__)


def release_expired(connector: Connector) -> WatchResult:
    """Undo every entry of the journal whose lease has ended, or whose lock keeps a set from electing a primary.

    :raises TransientError: something could not be undone, or the journal does not answer.
    """
    entries = Journal(connector).entries()
    alive = tuple(str(entry) for entry in entries if entry.alive)
    for held in alive:
        logger.info("Left alone, its run is alive: %s", held)
    released = release(connector, expired_only=True)
    for words in released:
        logger.warning("Undone, its run is dead: %s", words)
    foreign = foreign_locks(connector, known={entry.host for entry in entries if entry.kind is JournalKind.FSYNC_LOCK})
    for host in foreign:
        logger.warning("Left alone, somebody else locked it: %s (db.fsyncUnlock() on that member opens it)", host)
    if not (alive or released or foreign):
        logger.info("Nothing is held")
    return WatchResult(released=released, alive=alive, foreign=foreign)


def foreign_locks(connector: Connector, *, known: set[str]) -> tuple[str, ...]:
    """Members that are fsyncLocked and not by us; those that do not answer are passed over.

    :param known: members that the journal speaks of.
    """
    try:
        topology = discover(connector)
    except MongoBackupError as error:
        logger.warning("Not asked for locks of others: %s", error)
        return ()
    members = [
        member.host
        for component in topology.components
        for member in component.members
        if member.reachable and member.healthy and not member.arbiter and member.host not in known
    ]
    with ThreadPoolExecutor(max_workers=16) as pool:
        locked = pool.map(lambda host: _is_locked(connector, host), members)
    return tuple(host for host, is_so in zip(members, locked, strict=True) if is_so)


def _is_locked(connector: Connector, host: str) -> bool:
    try:
        return is_locked(connector, host)
    except MongoBackupError as error:
        logger.warning("%s was not asked for locks of others: %s", host, error)
        return False
