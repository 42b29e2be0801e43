"""Which member of each component is read, and why."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mongo_backup.agent.contract import BackupRequest, MembersResult
from mongo_backup.agent.session import connect_at_work, session_of, when_unsafe_of
from mongo_backup.cluster_time import cluster_time_supported
from mongo_backup.credentials import Credentials
from mongo_backup.errors import PreconditionError
from mongo_backup.locks.safety import measure
from mongo_backup.topology.choice import choose_members
from mongo_backup.topology.discover import discover


def identify_secondaries(request: BackupRequest, credentials: Credentials) -> MembersResult:
    """Choose a member of each component by score and safety.

    :raises PreconditionError: a component has no member to read from, or must not be locked and may not be read
        without a lock.
    """
    session = session_of(request)
    with connect_at_work(request, credentials) as connector:
        topology = discover(connector)
        with ThreadPoolExecutor(max_workers=16) as pool:
            facts = pool.map(
                lambda component: measure(connector, component, max_lock_time=session.max_lock_time),
                topology.components,
            )
            by_component = {component.name: fact for component, fact in zip(topology.components, facts, strict=True)}
        members = choose_members(
            topology,
            preference=request.objects.target.spec.members,
            consistency=session.consistency,
            when_unsafe=when_unsafe_of(request),
            facts=by_component,
            cluster_time_supported=cluster_time_supported(topology),
            last=request.prepared.last_members if request.prepared else {},
        )
    if not members:  # an empty list to map over would make a green run of nothing
        raise PreconditionError("no component was found to back up")
    return MembersResult(members=members)
