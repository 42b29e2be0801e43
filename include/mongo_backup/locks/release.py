"""Undo what the journal says: used by the unlock steps, `finish`, the watchdog and `mongo-backup release`."""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from mongo_backup.balancer import Balancer, undo_balancer
from mongo_backup.connection import Connector
from mongo_backup.errors import MongoBackupError, PermanentError, TransientError
from mongo_backup.journal import MARKS, Journal, JournalEntry, JournalKind
from mongo_backup.locks.fsync import answers, undo_lock
from mongo_backup.locks.need import lacks_primary
from mongo_backup.locks.target import ended
from mongo_backup.locks.window import undo_window
from mongo_backup.topology.discover import CONFIG

logger = logging.getLogger(__name__)

_ORDER = ({JournalKind.FSYNC_LOCK, JournalKind.HISTORY_WINDOW}, {JournalKind.BALANCER}, {JournalKind.TARGET})
"""A locked member hurts most; the balancer comes after, because it makes work for the members; then others may come."""


def undo(connector: Connector, entry: JournalEntry) -> str:
    """Undo one act; doing it again does no harm. In words what was done.

    :raises MongoBackupError: it could not be done; the entry must stay.
    """
    if entry.kind is JournalKind.BALANCER:
        return undo_balancer(Balancer(connector), entry)
    if entry.kind is JournalKind.TARGET:
        return ended(entry)
    where = f"{entry.component}: "
    try:
        return where + _undo_on_member(connector, entry)
    except TransientError as error:
        if _is_member(connector, entry):
            raise
        return where + f"{entry.host} is no longer a member of its set and does not answer ({error})"


def _undo_on_member(connector: Connector, entry: JournalEntry) -> str:
    if entry.kind is JournalKind.FSYNC_LOCK:
        return undo_lock(connector, entry.host, process=entry.process)
    return undo_window(connector, entry.host, former=int(entry.former or 0), value=entry.value, process=entry.process)


def _is_member(connector: Connector, entry: JournalEntry) -> bool:
    """Whether the entry's host still belongs to its set; yes where that cannot be found out."""
    spec = connector.binding.spec
    address = spec.replica_set or spec.shards.get(entry.component)
    if entry.component == CONFIG:
        address = spec.config_server
    if address is None:
        return True
    try:
        with answers("reading the replica set's configuration", address.replica_set):
            client = connector.primary(address.hosts, address.replica_set)
            config = client.admin.command("replSetGetConfig")["config"]
    except MongoBackupError as error:
        logger.info("%s: %s", entry.component, error)
        return True
    return any(member["host"] == entry.host for member in config["members"])


def release(
    connector: Connector,
    *,
    owner: str | None = None,
    expired_only: bool = False,
    kinds: Collection[JournalKind] | None = None,
    components: Collection[str] | None = None,
    tolerant: bool = False,
) -> tuple[str, ...]:
    """Undo what the journal holds of an owner (None: of all), and remove the entries.

    Every entry is tried, whatever happens to the others.

    :param expired_only: only entries whose lease has ended, and locks of members whose set has no primary.
    :param kinds: only these; None: all.
    :param components: only these; None: all.
    :param tolerant: what cannot be undone is only logged: for those who clean up after others before their own work.
    :returns: in words what was undone.
    :raises TransientError: something could not be undone; it stays in the journal, and another try may do it.
    """
    journal = Journal(connector)
    entries = [
        entry
        for entry in journal.entries(owner)
        if (kinds is None or entry.kind in kinds)
        and (components is None or entry.component in components)
        and not (expired_only and entry.alive and not _blocks_an_election(connector, entry))
    ]
    outcomes: list[tuple[JournalEntry, str | MongoBackupError | None]] = []
    with ThreadPoolExecutor(max_workers=16) as pool:
        for kinds_now in _ORDER:
            batch = [entry for entry in entries if entry.kind in kinds_now]
            words = pool.map(lambda entry: _try(connector, journal, entry, expired_only=expired_only), batch)
            outcomes += zip(batch, words, strict=True)
    done = tuple(words for _, words in outcomes if isinstance(words, str))
    failed = [f"{entry}: {error}" for entry, error in outcomes if isinstance(error, MongoBackupError)]
    if failed and not tolerant:
        told = f"; undone: {'; '.join(done)}" if done else ""
        raise TransientError(
            f"{len(failed)} of {len(entries)} could not be undone and stay in the journal: {'; '.join(failed)}{told}"
        )
    return done


def _blocks_an_election(connector: Connector, entry: JournalEntry) -> bool:
    """A locked member cannot vote; its run may be waiting for a worker, or for the primary itself."""
    return entry.kind is JournalKind.FSYNC_LOCK and lacks_primary(connector, entry.host)


def _try(
    connector: Connector, journal: Journal, entry: JournalEntry, *, expired_only: bool
) -> str | MongoBackupError | None:
    try:
        words = undo(connector, entry)
    except MongoBackupError as error:
        logger.error("Could not undo %s: %s", entry, error)
        return error
    claim = entry.kind is JournalKind.TARGET
    try:
        if not journal.remove(entry, expired_only=claim and expired_only) and claim:
            return None  # its run woke up meanwhile, or has ended
    except MongoBackupError as error:
        logger.error("%s, but its entry stays in the journal: %s", words, error)
        return type(error)(f"{words}, but its entry stays for now: {error}")
    logger.info("Undone: %s", words)
    return words


def sweep(connector: Connector, owner: str) -> tuple[str, ...]:
    """Undo what the journal still holds of a run and free the target, then read the journal: it must be empty of it.

    :returns: in words what was undone.
    :raises MongoBackupError: something could not be undone; the message names it.
    """
    swept = release(connector, owner=owner, kinds=MARKS)
    for words in swept:
        logger.warning("Swept up: %s", words)
    release(connector, owner=owner)
    if left := Journal(connector).entries(owner):
        raise PermanentError("still held by this run: " + "; ".join(map(str, left)))
    logger.info("Nothing of this run is left on the target")
    return swept
