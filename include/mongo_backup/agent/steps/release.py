"""The watchdog on one deployment."""

from __future__ import annotations

from mongo_backup.agent.release_contract import WatchRequest
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.locks.watch import Watched, release_expired


def expired(request: WatchRequest, credentials: Credentials) -> Watched:
    """Undo what dead runs left, by the journal; see `mongo_backup.locks.watch`.

    A deployment that is only restored into may have no backup user.

    :raises TransientError: something could not be undone; the next run tries again.
    """
    spec = request.target.spec
    restore_only = spec.credentials is None and spec.restore_credentials is not None
    with Connector(binding=request.target, credentials=credentials, restore=restore_only) as connector:
        return release_expired(connector)
