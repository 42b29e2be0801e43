"""Holding the chosen members at one cluster time, and letting them go."""

from __future__ import annotations

from mongo_backup.agent.contract import BackupRequest, LockResult, ReleaseResult
from mongo_backup.agent.session import connect, connect_at_work, reads_at_cluster_time, session_of, when_unsafe_of
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal
from mongo_backup.locks import hold
from mongo_backup.locks.claims import MEMBER_KINDS, HoldSettings
from mongo_backup.locks.release import release
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.discover import CONFIG, discover


def lock_config_server(request: BackupRequest, credentials: Credentials) -> LockResult:
    """Lock the chosen config server member, journaled before; see `mongo_backup.locks.hold`."""
    with connect_at_work(request, credentials) as connector:
        return hold.lock_config_server(
            connector, topology=discover(connector), members=request.members, settings=_settings(request)
        )


def lock_secondaries(request: BackupRequest, credentials: Credentials) -> LockResult:
    """Hold all chosen members, the config server's too, at one cluster time.

    An engine that cannot read at it gets none: what it dumps is held together by the locks alone, and is told so.
    """
    with connect_at_work(request, credentials) as connector:
        held = hold.lock_members(
            connector, topology=discover(connector), members=request.members, settings=_settings(request)
        )
    return held if reads_at_cluster_time(request) else held.model_copy(update={"cluster_time": None})


def unlock_secondaries(request: BackupRequest, credentials: Credentials) -> ReleaseResult:
    """Let go of every member but the config server's; those that a dump has freed already are no matter.

    Without locks the DAG has no `unlock_config_server`: then the config server's member is let go here too.
    """
    locks = session_of(request).consistency is Consistency.LOCKED
    return _release(request, credentials, config=False if locks else None)


def unlock_config_server(request: BackupRequest, credentials: Credentials) -> ReleaseResult:
    """Let go of the config server's member."""
    return _release(request, credentials, config=True)


def _release(request: BackupRequest, credentials: Credentials, *, config: bool | None) -> ReleaseResult:
    """Undo by the journal alone: what it says of this run, whatever the request says of members.

    :param config: the config server's member (True), those of the shards (False), or all (None).
    """
    with connect(request, credentials) as connector:
        held = {
            entry.component for entry in Journal(connector).entries(request.run.owner) if entry.kind in MEMBER_KINDS
        }
        components = {name for name in held if config is None or (name == CONFIG) == config}
        released = release(connector, owner=request.run.owner, kinds=MEMBER_KINDS, components=components)
        return ReleaseResult(released=released)


def _settings(request: BackupRequest) -> HoldSettings:
    session = session_of(request)
    return HoldSettings(
        owner=request.run.owner,
        set_id=request.set_id,
        max_lock_time=session.max_lock_time,
        when_unsafe=when_unsafe_of(request),
        max_lag_seconds=request.objects.target.spec.members.max_lag_seconds,
        include=session.include,
        exclude=session.exclude,
    )
