"""The last look: whatever this run still holds on the target is undone."""

from __future__ import annotations

from mongo_backup.agent.contract import BackupRequest, FinishResult
from mongo_backup.agent.session import connect
from mongo_backup.agent.steps.metrics import tell_marks
from mongo_backup.credentials import Credentials
from mongo_backup.locks.release import sweep


def finish(request: BackupRequest, credentials: Credentials) -> FinishResult:
    """Undo what the journal still holds for this run, then read the journal again: it must be empty of it.

    :raises MongoBackupError: something could not be undone; the message names it.
    """
    with connect(request, credentials) as connector:
        try:
            return FinishResult(swept=sweep(connector, request.run.owner))
        finally:
            tell_marks(request, connector)
