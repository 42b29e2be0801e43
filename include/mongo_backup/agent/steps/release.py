"""The watchdog on one deployment."""

from __future__ import annotations

from mongo_backup.agent.release_contract import WatchRequest, WatchResult
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.locks.watch import release_expired
from mongo_backup.objects.app_binding import AppBinding


def expired(request: WatchRequest, credentials: Credentials) -> WatchResult:
    """Undo what dead runs left, by the journal; see `mongo_backup.locks.watch`.

    :raises TransientError: something could not be undone; the next run tries again.
    """
    with connect(request.target, credentials) as connector:
        return release_expired(connector)


def connect(target: AppBinding, credentials: Credentials) -> Connector:
    """Open a deployment as the backup user; one that is only restored into may have none, but a user that restores."""
    spec = target.spec
    restore_only = spec.credentials is None and spec.restore_credentials is not None
    return Connector(binding=target, credentials=credentials, restore=restore_only)
