"""A locked member stays readable at the cluster time after its lock: its history window is raised first.

The config server's member is read in a moment, but each shard's dump asks it, when it begins, which ranges the shard
owns at the cluster time. So its lock is exchanged for a raised window, until the last dump is through.
"""

from __future__ import annotations

import logging

from mongo_backup.connection import Connector
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.window import read_window, set_window

logger = logging.getLogger(__name__)


def keep_history(connector: Connector, *, lock: JournalEntry, seconds: int) -> None:
    """Raise the window of a member that this run has locked to at least `seconds`, journaled before.

    :param lock: the lock's entry.
    :raises MongoBackupError: it was not raised; the member must stay locked.
    """
    former = read_window(connector, lock.host)
    entry = Journal(connector).write(
        JournalEntry(
            kind=JournalKind.HISTORY_WINDOW,
            owner=lock.owner,
            set_id=lock.set_id,
            component=lock.component,
            host=lock.host,
            former=former,
            value=max(former, seconds),
            process=lock.process,
            lease_seconds=lock.lease_seconds,
        )
    )
    set_window(connector, lock.host, entry.value or seconds)
    logger.info("%s: history window of %s raised from %s s to %s s", lock.component, lock.host, former, entry.value)
