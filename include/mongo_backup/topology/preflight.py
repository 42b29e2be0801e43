"""What can be known of the target before anything is touched: all problems at once, one line each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta

from mongo_backup.cluster_time import cluster_time_supported
from mongo_backup.connection import Connector
from mongo_backup.errors import (
    ConfigurationError,
    ConflictError,
    MongoBackupError,
    PermanentError,
    PreconditionError,
    TargetBusyError,
    TransientError,
)
from mongo_backup.journal import Journal, JournalEntry, JournalKind, busy
from mongo_backup.locks.fsync import member_clock, refuse_foreign_lock
from mongo_backup.locks.safety import LockFacts, measure
from mongo_backup.locks.together import on_all
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology import privileges
from mongo_backup.topology.discover import version_number
from mongo_backup.topology.model import Component, ComponentRole, Member, Topology

logger = logging.getLogger(__name__)

OLDEST_VERSION = "4.2"
CLOCKS_APART_SECONDS = 600.0
"""S3 refuses a request that is 15 minutes off (RequestTimeTooSkewed); restic calls a lock stale after 30."""
CLOCKS_TOLD_SECONDS = 30.0
_GRAVEST_FIRST = (
    ConfigurationError,
    PermanentError,
    PreconditionError,
    ConflictError,
    TargetBusyError,
    TransientError,
)
"""Which error stands for several. What a person must mend comes before what ends by itself."""


class Preflight(Model):
    """What was found."""

    cluster_time_supported: bool
    facts: dict[str, LockFacts]
    """By component: how far the oplog reaches, how long a lock is expected to last."""


def preflight(
    connector: Connector,
    topology: Topology,
    *,
    owner: str,
    consistency: Consistency,
    max_lock_time: timedelta = timedelta(hours=6),
) -> Preflight:
    """Look for everything that would make a backup of this deployment fail, and touch nothing.

    :param topology: as found by `discover`, and checked against the AppBinding.
    :param owner: this run: its own entries in the journal are no conflict.
    :raises MongoBackupError: the gravest kind of the problems found, with all of them in its text.
    """
    problems = [
        *_versions(topology),
        *_primaries(topology),
        *_reach(topology),
        *_privileges(connector, topology, consistency),
    ]
    if not problems:  # the rest would only say the same again
        problems = [*_clocks(connector, topology), *_journal(connector, owner), *_locks(connector, topology, owner)]
    if problems:
        raise _together(problems)
    facts = on_all(topology.components, lambda each: measure(connector, each, max_lock_time=max_lock_time))
    for component, fact in zip(topology.components, facts, strict=True):
        if fact.oplog_window_seconds is not None:
            logger.info("%s: the oplog reaches back %.1f hours", component.name, fact.oplog_window_seconds / 3600)
    return Preflight(
        cluster_time_supported=cluster_time_supported(topology),
        facts={component.name: fact for component, fact in zip(topology.components, facts, strict=True)},
    )


def _together(problems: list[MongoBackupError]) -> MongoBackupError:
    if len(problems) == 1:
        return problems[0]
    kinds = {type(problem) for problem in problems}
    kind = next((kind for kind in _GRAVEST_FIRST if kind in kinds), type(problems[0]))
    return kind("\n- ".join([f"{len(problems)} problems were found before anything was touched:", *map(str, problems)]))


def _versions(topology: Topology) -> Iterator[MongoBackupError]:
    if version_number(topology.server_version) < version_number(OLDEST_VERSION):
        yield ConfigurationError(
            f"MongoDB {topology.server_version} is too old: {OLDEST_VERSION} is the oldest supported"
        )


def _primaries(topology: Topology) -> Iterator[MongoBackupError]:
    for component in topology.components:
        if component.primary is None:
            states = ", ".join(f"{member.host} is {member.state}" for member in component.members)
            yield TransientError(f"{component.name} has no primary ({states}): wait for an election, or see its log")


def _reach(topology: Topology) -> Iterator[MongoBackupError]:
    for component in topology.components:
        silent = [member for member in component.members if member.healthy and not member.reachable]
        for member in silent:
            logger.warning("%s: %s (%s) does not answer from here", component.name, member.host, member.state)
        if any(member is component.primary for member in silent):
            yield TransientError(
                f"{component.name}: its primary {silent[0].host} does not answer from here: the host names in the"
                " replica set's configuration must be reachable from where backups run"
            )


def _asked(component: Component) -> Member | None:
    """The primary, else a member that answers."""
    members = [member for member in (component.primary, *component.members) if member is not None]
    return next((member for member in members if member.reachable and member.healthy and not member.arbiter), None)


def _privileges(connector: Connector, topology: Topology, consistency: Consistency) -> Iterator[MongoBackupError]:
    routed = topology.kind is TopologyKind.SHARDED and bool(topology.mongos)
    for component in topology.components:
        member = _asked(component)
        if member is None:
            continue
        wanted = [*privileges.COMMON]
        if component.role is not ComponentRole.STANDALONE:
            wanted += [*privileges.REPLICATED, *(privileges.LOCKING if consistency is Consistency.LOCKED else ())]
        if component.role is not ComponentRole.SHARD:
            wanted += privileges.JOURNALING
        if component.role is ComponentRole.CONFIG and not routed:
            wanted += privileges.BALANCING
        if component.role is ComponentRole.SHARD and _refuses_strangers(topology):
            wanted += privileges.DIRECT
        yield from _lack(component.name, privileges.missing(connector.member(member.host), member.host, wanted))
    mongos = connector.mongos()
    if routed and mongos is not None:
        where = ", ".join(topology.mongos)
        yield from _lack(f"mongos ({where})", privileges.missing(mongos, where, privileges.BALANCING_ROUTED))


def _refuses_strangers(topology: Topology) -> bool:
    """Whether shards serve those alone who come by mongos, or have the privilege to do without: see `DIRECT`."""
    shards = [component for component in topology.components if component.role is ComponentRole.SHARD]
    return len(shards) > 1 and version_number(topology.fcv or "0") >= version_number(privileges.DIRECT_SINCE)


def _lack(where: str, missing: list[str]) -> Iterator[MongoBackupError]:
    if missing:
        yield ConfigurationError(
            f"{where}: the backup user may not {'; '.join(missing)}: grant it (docs/reference/privileges.md)"
        )


def _clocks(connector: Connector, topology: Topology) -> Iterator[MongoBackupError]:
    """Leases and times of locks go by the servers' clocks; the repository's by this machine's."""
    asked = [(component, member) for component in topology.components if (member := _asked(component))]

    def look(each: tuple[Component, Member]) -> MongoBackupError | None:
        component, member = each
        try:
            ahead = time.time() - member_clock(connector, member.host)
        except MongoBackupError as error:
            return error
        words = f"{component.name}: this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
        words += f" that of {member.host}"
        if abs(ahead) >= CLOCKS_APART_SECONDS:
            return PreconditionError(
                f"{words}: set the clocks (NTP). A store refuses requests of another time, and a repository's locks"
                " would be taken for stale"
            )
        if abs(ahead) >= CLOCKS_TOLD_SECONDS:
            logger.warning("%s; from %.0f s on no backup begins", words, CLOCKS_APART_SECONDS)
        return None

    yield from (problem for problem in on_all(asked, look) if problem is not None)


def _journal(connector: Connector, owner: str) -> Iterator[MongoBackupError]:
    others: dict[str, JournalEntry] = {}
    for entry in Journal(connector).entries():
        if entry.owner != owner and entry.alive:
            others.setdefault(entry.owner, entry)  # a run's oldest entry stands for all it holds
        elif entry.owner != owner:
            logger.warning("%s: its lease has ended; it is undone before this run begins", entry)
    yield from map(busy, others.values())


def _locks(connector: Connector, topology: Topology, owner: str) -> Iterator[MongoBackupError]:
    known = {entry.host for entry in Journal(connector).entries() if entry.kind is JournalKind.FSYNC_LOCK}
    members = [
        member
        for component in topology.components
        for member in component.members
        if member.reachable and member.healthy and not member.arbiter and member.host not in known
    ]

    def look(member: Member) -> MongoBackupError | None:
        try:
            refuse_foreign_lock(connector, member.host)
        except MongoBackupError as error:
            return error
        return None

    yield from (problem for problem in on_all(members, look) if problem is not None)
