"""Which member of each component is read, how it is kept readable, and why: in words, for log and manifest."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from mongo_backup.errors import PreconditionError
from mongo_backup.locks.safety import LockFacts, lock_problem
from mongo_backup.objects.app_binding import MemberPreference
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, Component, ComponentRole, Member, ReadMode, Topology

logger = logging.getLogger(__name__)


def choose_members(
    topology: Topology,
    *,
    preference: MemberPreference,
    consistency: Consistency,
    when_unsafe: Literal["snapshot", "fail"],
    facts: Mapping[str, LockFacts] | None = None,
    cluster_time_supported: bool = True,
    last: Mapping[str, str] | None = None,
) -> tuple[ChosenMember, ...]:
    """Choose one member of each component.

    A healthy secondary that may be locked (if locks are wished), then preferred ones in their order, then those with
    the wished tags, hidden, priority 0, the one read last, least behind, without a vote, lowest priority. Without a
    secondary the primary. Members keep their documents in orders of their own: reading the same one again finds the
    same pieces, so little is new to the repository.

    :param consistency: the wish: `locked` or `snapshot`.
    :param when_unsafe: what to do where a lock is wished but would endanger the set.
    :param facts: oplog and expected lock time by component (`mongo_backup.locks.safety.measure`).
    :param cluster_time_supported: False for servers older than 5.0: they can only be locked.
    :param last: the member that each component was read from last.
    :raises PreconditionError: a component has no member to read from, or locking is unsafe and `when_unsafe` is `fail`.
    """
    lock = consistency is Consistency.LOCKED or not cluster_time_supported
    unlocked_allowed = cluster_time_supported and (when_unsafe == "snapshot" or not lock)
    chosen = tuple(
        _choose(
            component,
            preference=preference,
            lock=lock,
            unlocked_allowed=unlocked_allowed,
            facts=(facts or {}).get(component.name, LockFacts()),
            last=(last or {}).get(component.name),
        )
        for component in topology.components
    )
    for each in chosen:
        logger.info(
            "%s: reading %s (%s, %s): %s", each.component, each.host, each.state, each.mode, _join(each.reasons)
        )
    return chosen


def _choose(
    component: Component,
    *,
    preference: MemberPreference,
    lock: bool,
    unlocked_allowed: bool,
    facts: LockFacts,
    last: str | None,
) -> ChosenMember:
    if component.role is ComponentRole.STANDALONE:
        reason = "the only server; a standalone has no oplog, so no cluster time"
        return _chosen(component, component.members[0], ReadMode.PLAIN, (reason,))
    refused = {member.host: why for member in component.members if (why := _unfit(member, preference))}
    for host, why in refused.items():
        logger.info("%s: not %s: %s", component.name, host, why)
    fit = [member for member in component.members if member.host not in refused]
    if not fit:
        return _primary(component, preference, unlocked_allowed=unlocked_allowed, lock=lock, refused=refused)
    problems = {
        member.host: lock_problem(component, member, facts=facts, max_lag_seconds=preference.max_lag_seconds)
        for member in fit
    }
    best = min(fit, key=lambda member: (lock and problems[member.host] is not None, *_rank(member, preference, last)))
    reasons = _reasons(best, preference, alone=len(fit) == 1, last=last)
    if not lock:
        return _chosen(component, best, ReadMode.WINDOW, reasons)
    if (problem := problems[best.host]) is None:
        return _chosen(component, best, ReadMode.LOCK, reasons)
    if unlocked_allowed:
        return _chosen(component, best, ReadMode.WINDOW, (*reasons, f"read without a lock: {problem}"))
    raise PreconditionError(_no_lock(component, f"{best.host} must not be locked: {problem}"))


def _unfit(member: Member, preference: MemberPreference) -> str | None:
    """Why a member is out of the question as a secondary to read from."""
    rules: tuple[tuple[bool, str], ...] = (
        (member.arbiter, "it is an arbiter and has no data"),
        (member.host in preference.exclude, "it is excluded by the AppBinding"),
        (not member.healthy, f"it does not answer its set ({member.state})"),
        (not member.reachable, "it does not answer from here"),
        (member.state == "PRIMARY", "it is the primary"),
        (member.state != "SECONDARY", f"it is {member.state}, no secondary"),
        (member.delay_seconds > 0, f"it is delayed by {member.delay_seconds} s"),
        (
            member.lag_seconds is None or member.lag_seconds > preference.max_lag_seconds,
            f"it is {'an unknown time' if member.lag_seconds is None else f'{member.lag_seconds:.0f} s'} behind"
            f" (allowed: {preference.max_lag_seconds:.0f} s)",
        ),
    )
    return next((why for applies, why in rules if applies), None)


def _rank(member: Member, preference: MemberPreference, last: str | None) -> tuple[object, ...]:
    wished = preference.preferred.index(member.host) if member.host in preference.preferred else None
    return (
        wished is None,
        wished or 0,
        not _tagged(member, preference),
        not member.hidden,
        member.priority > 0,
        member.host != last,
        round(member.lag_seconds or 0),
        member.votes > 0,
        member.priority,
        member.host,
    )


def _tagged(member: Member, preference: MemberPreference) -> bool:
    return bool(preference.tags) and preference.tags.items() <= member.tags.items()


def _reasons(member: Member, preference: MemberPreference, *, alone: bool, last: str | None) -> tuple[str, ...]:
    found: tuple[tuple[bool, str], ...] = (
        (alone, "the only healthy secondary"),
        (member.host in preference.preferred, "preferred by the AppBinding"),
        (_tagged(member, preference), "has the tags " + ", ".join(f"{k}={v}" for k, v in preference.tags.items())),
        (member.hidden, "hidden"),
        (member.priority == 0, "priority 0"),
        (member.votes == 0, "without a vote"),
        (member.host == last, "read last time too"),
        (True, f"{member.lag_seconds or 0:.0f} s behind the primary"),
    )
    return tuple(text for applies, text in found if applies)


def _primary(
    component: Component,
    preference: MemberPreference,
    *,
    unlocked_allowed: bool,
    lock: bool,
    refused: Mapping[str, str],
) -> ChosenMember:
    others = "; ".join(f"{host}: {why}" for host, why in refused.items())
    primary = component.primary
    if primary is None or not (primary.healthy and primary.reachable) or primary.host in preference.exclude:
        raise PreconditionError(f"{component.name} has no member to read from ({others})")
    if lock and not unlocked_allowed:
        raise PreconditionError(
            _no_lock(component, f"it has no secondary to read from ({others}), and a primary is never locked")
        )
    reasons = [f"{host}: {why}" for host, why in refused.items() if host != primary.host]
    return _chosen(component, primary, ReadMode.WINDOW, ("the primary, because no secondary can be read", *reasons))


def _no_lock(component: Component, why: str) -> str:
    return (
        f"{component.name} cannot be locked: {why}. With `when_unsafe: snapshot` (MongoDB 5.0 and newer) it is read at"
        " the cluster time without a lock; or add a member without a vote for backups"
    )


def _chosen(component: Component, member: Member, mode: ReadMode, reasons: tuple[str, ...]) -> ChosenMember:
    return ChosenMember(
        component=component.name,
        role=component.role,
        replica_set=component.replica_set,
        host=member.host,
        state=member.state,
        mode=mode,
        reasons=reasons,
    )


def _join(reasons: tuple[str, ...]) -> str:
    return ", ".join(reasons) or "no reason noted"
