"""The last look: whatever this run still holds on the target is undone."""

from __future__ import annotations

import logging

from mongo_backup.agent.contract import BackupRequest, FinishResult
from mongo_backup.agent.session import connect
from mongo_backup.credentials import Credentials
from mongo_backup.errors import PermanentError
from mongo_backup.journal import Journal
from mongo_backup.locks.release import release

logger = logging.getLogger(__name__)


def finish(request: BackupRequest, credentials: Credentials) -> FinishResult:
    """Undo what the journal still holds for this run, then read the journal again: it must be empty of it.

    :raises MongoBackupError: something could not be undone; the message names it.
    """
    with connect(request, credentials) as connector:
        swept = release(connector, owner=request.run.owner)
        for words in swept:
            logger.warning("Swept up: %s", words)
        left = Journal(connector).entries(request.run.owner)
    if left:
        raise PermanentError("still held by this run: " + "; ".join(map(str, left)))
    logger.info("Nothing of this run is left on the target")
    return FinishResult(swept=swept)
