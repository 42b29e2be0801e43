"""Stopping the balancer before the dumps, and putting it back to what it was after them."""

from __future__ import annotations

from mongo_backup.agent.contract import BackupRequest, BalancerResult, ReleaseResult
from mongo_backup.agent.session import connect, connect_at_work, session_of
from mongo_backup.balancer import stop_balancer
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal, JournalKind
from mongo_backup.locks.release import release


def disable_balancer(request: BackupRequest, credentials: Credentials) -> BalancerResult:
    """Switch the balancer off and wait for a running round; its former mode is in the journal before.

    :raises PreconditionError: the round did not end in time; the balancer is as it was.
    """
    with connect_at_work(request, credentials) as connector:
        return stop_balancer(
            connector,
            Journal(connector),
            owner=request.run.owner,
            stop_timeout=session_of(request).balancer.stop_timeout,
            set_id=request.set_id,
        )


def enable_balancer(request: BackupRequest, credentials: Credentials) -> ReleaseResult:
    """Put the balancer back to the mode that the journal says. Does nothing where the journal says nothing."""
    with connect(request, credentials) as connector:
        return ReleaseResult(released=release(connector, owner=request.run.owner, kinds=(JournalKind.BALANCER,)))
