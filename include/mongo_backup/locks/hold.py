"""Hold all chosen members at one cluster time: locked together, or with a raised history window.

The order, after which every collection of every member is surely readable at T and the catalog at T is known:
windows journaled and raised; catalogs listed; T fixed and waited for; locks journaled, and all taken at one barrier;
catalogs listed again and each collection read at T. If a catalog has changed or a read is refused, all are unlocked and
it begins again with a new T. Whatever fails, what was done is undone before the error is raised.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from pymongo.errors import OperationFailure

from mongo_backup.agent.contract import Held, LockResult
from mongo_backup.cluster_time import cluster_time_supported, fix_cluster_time
from mongo_backup.connection import Connector
from mongo_backup.errors import ConflictError, PreconditionError, TransientError
from mongo_backup.locks import fsync
from mongo_backup.locks.claims import Claims, HoldSettings
from mongo_backup.locks.probe import MemberProbe
from mongo_backup.locks.safety import lock_problem, measure
from mongo_backup.locks.together import lock_all, on_all
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode, Topology

logger = logging.getLogger(__name__)

ATTEMPTS = 5
_NAMESPACE_NOT_FOUND = 26


def lock_config_server(
    connector: Connector, *, topology: Topology, members: Sequence[ChosenMember], settings: HoldSettings
) -> LockResult:
    """Lock the chosen config server member, or raise its window, journaled before.

    `lock_members` lets go of it once more, to hold all members from one moment on; T is fixed there.

    :raises ConflictError: another run is at work, or somebody else has locked the member.
    :raises PreconditionError: it must not be locked, and `when_unsafe` is `fail`.
    """
    config = [member for member in members if member.role is ComponentRole.CONFIG]
    return _Holder(connector, topology=topology, members=config, settings=settings).hold(with_cluster_time=False)


def lock_members(
    connector: Connector, *, topology: Topology, members: Sequence[ChosenMember], settings: HoldSettings
) -> LockResult:
    """Hold all chosen members, the config server's too, at one cluster time.

    :param topology: as found just now: the safety rules look at it.
    :returns: the cluster time (None where the server is too old for one), each member with the digest of its catalog,
        and the time between the first and the last lock. A member's mode may differ from the one chosen: see
        `HoldSettings.when_unsafe`.
    :raises ConflictError: another run is at work, or somebody else has locked a member.
    :raises PreconditionError: a member must not be locked, and `when_unsafe` is `fail`.
    :raises TransientError: a member or a primary did not answer, or collections came and went in each attempt.
    """
    return _Holder(connector, topology=topology, members=members, settings=settings).hold(with_cluster_time=True)


class _Holder:
    def __init__(
        self, connector: Connector, *, topology: Topology, members: Sequence[ChosenMember], settings: HoldSettings
    ) -> None:
        self._connector = connector
        self._topology = topology
        self._supported = cluster_time_supported(topology)
        self._settings = settings
        self._members = on_all(members, self._with_safe_mode)
        self._claims = Claims(connector, topology=topology, members=self._members, settings=settings)
        self._asked: set[str] = set()
        """Components of which a lock is asked for and not answered yet."""
        self._to_lock = [member for member in self._members if member.mode is ReadMode.LOCK]
        self._probes = [
            MemberProbe(connector, member, include=settings.include, exclude=settings.exclude)
            for member in self._members
        ]

    def hold(self, *, with_cluster_time: bool) -> LockResult:
        if all(member.mode is ReadMode.PLAIN for member in self._members):
            return LockResult(consistency=Consistency.NONE)  # a standalone: nothing to hold
        self._claims.refuse_others()
        self._claims.release_own()
        on_all(self._members, lambda member: fsync.refuse_foreign_lock(self._connector, member.host))
        try:
            self._claims.raise_windows()
            on_all(self._to_lock, lambda member: fsync.flush(self._connector, member.host))
            return self._attempts() if with_cluster_time and self._supported else self._lock_alone()
        except BaseException as error:
            self._claims.undo_after(error, asked=self._asked)
            raise

    def _with_safe_mode(self, chosen: ChosenMember) -> ChosenMember:
        """The member in the mode in which it may be held, by its set's state now."""
        if chosen.mode is not ReadMode.LOCK:
            return chosen
        component = self._topology.component(chosen.component)
        member = next((each for each in component.members if each.host == chosen.host), None)
        if member is None or not member.healthy:
            raise TransientError(f"{chosen.component}: {chosen.host} was chosen, but is not a healthy member any more")
        facts = measure(self._connector, component, max_lock_time=self._settings.max_lock_time)
        problem = lock_problem(component, member, facts=facts, max_lag_seconds=self._settings.max_lag_seconds)
        if problem is None:
            return chosen
        if self._settings.when_unsafe == "snapshot" and self._supported:
            logger.warning("%s: %s is read without a lock: %s", chosen.component, chosen.host, problem)
            return chosen.model_copy(update={"mode": ReadMode.WINDOW})
        raise PreconditionError(f"{chosen.component}: {chosen.host} must not be locked: {problem}")

    # The locks

    def _attempts(self) -> LockResult:
        reason = ""
        for attempt in range(1, ATTEMPTS + 1):
            outcome = self._attempt(attempt)
            if isinstance(outcome, LockResult):
                return outcome
            reason = outcome
            logger.warning("Attempt %d of %d: %s; once more with a new cluster time", attempt, ATTEMPTS, reason)
            self._claims.release_locks()
        raise TransientError(
            f"no cluster time could be held in {ATTEMPTS} attempts, because collections changed each time ({reason}):"
            " back up when fewer collections are created and dropped, or exclude their database"
        )

    def _attempt(self, attempt: int) -> LockResult | str:
        """One attempt; a text says why another one is needed."""
        try:
            before = on_all(self._probes, MemberProbe.digest)
            point = fix_cluster_time(
                self._connector,
                topology=self._topology,
                members=self._members,
                limit_seconds=self._settings.wait_seconds,
            )
            result = self._lock(point, attempt)
        except TransientError as error:
            if isinstance(error.__cause__, OperationFailure) and error.__cause__.code == _NAMESPACE_NOT_FOUND:
                return error.message
            raise
        for held, digest in zip(result.held, before, strict=True):
            if held.catalog != digest:
                return f"the catalog of {held.component} changed between its listing and the lock"
        unreadable = on_all(self._probes, lambda probe: probe.unreadable(point))
        return next((why for why in unreadable if why is not None), result)

    def _lock_one(self, member: ChosenMember) -> float:
        self._asked.add(member.component)
        try:
            at = fsync.lock(self._connector, member.host)
        except ConflictError:
            self._claims.forget_lock(member)
            raise
        finally:
            self._asked.discard(member.component)
        return at

    def _lock_alone(self) -> LockResult:
        return self._lock(None, 1)

    def _lock(self, point: ClusterTime | None, attempt: int) -> LockResult:
        self._claims.announce_locks()
        moments = dict(
            zip(
                (member.host for member in self._to_lock),
                lock_all(self._connector, self._to_lock, self._lock_one),
                strict=True,
            )
        )
        now = time.time()
        for member, locked in zip(
            self._to_lock, on_all(self._to_lock, lambda m: fsync.is_locked(self._connector, m.host)), strict=True
        ):
            if not locked:
                raise TransientError(f"{member.component}: {member.host} said it is locked, but is not")
        digests = on_all(self._probes, MemberProbe.digest)
        ahead = on_all(self._members, lambda member: fsync.member_clock(self._connector, member.host) - time.time())
        held = tuple(
            Held(
                component=member.component,
                host=member.host,
                mode=member.mode.value,
                at=(at := moments.get(member.host, now)),
                member_time=at + difference,
                catalog=digest,
            )
            for member, digest, difference in zip(self._members, digests, ahead, strict=True)
        )
        skew = max(moments.values()) - min(moments.values()) if moments else None
        if skew is not None:
            hosts = ", ".join(moments)
            logger.info("Locked %d members (%s), %.3f s between first and last", len(moments), hosts, skew)
        all_locked = len(moments) == len(self._members)
        return LockResult(
            consistency=Consistency.LOCKED if all_locked else Consistency.SNAPSHOT,
            cluster_time=point,
            held=held,
            skew_seconds=None if skew is None else round(skew, 4),
            attempts=attempt,
        )
