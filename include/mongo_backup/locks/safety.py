"""May this member be fsyncLocked? A locked one takes no writes: its set must live on without it, and it must catch up.

The rules look at the set's state as found just before; they touch nothing.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from mongo_backup.connection import Connector, mongo_errors
from mongo_backup.errors import MongoBackupError
from mongo_backup.model import Model
from mongo_backup.topology.model import Component, ComponentRole, Member

logger = logging.getLogger(__name__)

DUMP_BYTES_PER_SECOND = 50_000_000
"""A cautious speed of reading a member: measured 150 MB/s and more on one machine; networks are slower."""
UNPACKED = 3
"""Documents are about this much bigger than their compressed files."""
SHORTEST_LOCK_SECONDS = 15.0
OPLOG_FACTOR = 2
"""The oplog must reach back this many times the expected lock time."""
_LIVE = ("PRIMARY", "SECONDARY")


class LockFacts(Model):
    """What decides how long a member of a component may be locked."""

    oplog_window_seconds: float | None = None
    """How long an operation stays in the oplog at the average rate of writes; None where unknown."""
    expected_lock_seconds: float = SHORTEST_LOCK_SECONDS
    """Estimate of the time in which a member is read."""


def measure(connector: Connector, component: Component, *, max_lock_time: timedelta) -> LockFacts:
    """Ask a component's primary (any member where there is none) how far its oplog reaches and how much data it has.

    :param max_lock_time: after this a member is unlocked anyway, so no lock is expected to take longer.
    """
    if component.role is ComponentRole.STANDALONE:
        return LockFacts()
    host = next(m.host for m in (component.primary, *component.members) if m and m.healthy and not m.arbiter)
    client = connector.member(host)
    with mongo_errors("asking for the size of its data", host):
        databases = client.admin.command("listDatabases")["databases"]
    size = sum(int(database["sizeOnDisk"]) for database in databases if database["name"] != "local")
    expected = max(SHORTEST_LOCK_SECONDS, size * UNPACKED / DUMP_BYTES_PER_SECOND)
    try:
        window = oplog_window(connector, host)
    except MongoBackupError as error:
        logger.warning("%s: the oplog's window is unknown: %s", component.name, error)
        window = None
    return LockFacts(
        oplog_window_seconds=window, expected_lock_seconds=min(expected, max(1.0, max_lock_time.total_seconds()))
    )


def oplog_window(connector: Connector, host: str) -> float | None:
    """Return how many seconds an operation stays in a member's oplog.

    An oplog that is not full yet reaches further than its oldest entry says: its age is scaled to its full size. The
    server keeps entries for `oplogMinRetentionHours` in any case. None: the oplog is empty.
    """
    local = connector.member(host).local
    with mongo_errors("reading the oplog's window", host):
        first = local["oplog.rs"].find_one(sort=[("$natural", 1)], projection={"ts": 1})
        last = local["oplog.rs"].find_one(sort=[("$natural", -1)], projection={"ts": 1})
        stats = local.command("collStats", "oplog.rs")
        status = connector.member(host).admin.command("serverStatus", repl=0, metrics=0, locks=0, wiredTiger=0)
    if first is None or last is None:
        return None
    seconds = max(1.0, float(last["ts"].time - first["ts"].time))
    full = max(1.0, float(stats["maxSize"]) / max(1, int(stats["size"])))
    kept = 3600 * float(status.get("oplogTruncation", {}).get("oplogMinRetentionHours", 0))
    return max(seconds * full, kept)


def lock_problem(
    component: Component, member: Member, *, facts: LockFacts, max_lag_seconds: float = 30.0
) -> str | None:
    """Return why a member must not be locked, in words; None: it may be.

    :param max_lag_seconds: another member further behind than this does not help `w: majority` writes along.
    """
    if member.state != "SECONDARY":
        return f"it is {member.state}; only a secondary may be locked"
    return majority_problem(component, member, max_lag_seconds=max_lag_seconds) or _oplog_problem(facts)


def majority_problem(component: Component, member: Member, *, max_lag_seconds: float) -> str | None:
    """Return why majority writes would stall while a member is locked, in words; None: they go on.

    A `w: majority` write needs as many members as the server's `writeMajorityCount` says.

    That is the smaller of the majority of the votes and the number of voting members with data
    (https://www.mongodb.com/docs/manual/reference/write-concern/#calculating-majority-for-write-concern).
    Members that copy from the locked one stand still with it: they look for another source only after it is
    `maxSyncSourceLagSecs` (30 s) behind.
    """
    voting = [each for each in component.members if each.votes]
    with_data = [each for each in voting if not each.arbiter]
    needed = min(len(voting) // 2 + 1, len(with_data))
    fed = _fed_by(component, member)
    left = sum(_keeps_up(each, max_lag_seconds) for each in with_data if each.host not in fed)
    if left >= needed:
        return None
    without = f"without it{f' and {len(fed) - 1} that copy from it' if len(fed) > 1 else ''}"
    return (
        f"{without} {component.name} would have {left} healthy voting member{'s' if left != 1 else ''} with data,"
        f" and w:majority writes need {needed}"
    )


def _keeps_up(member: Member, max_lag_seconds: float) -> bool:
    return (
        member.healthy
        and member.state in _LIVE
        and not member.delay_seconds
        and (member.lag_seconds is None or member.lag_seconds <= max_lag_seconds)
    )


def _fed_by(component: Component, member: Member) -> set[str]:
    """The member itself and all that copy from it, directly or over others."""
    fed = {member.host}
    while more := {each.host for each in component.members if each.sync_source in fed} - fed:
        fed |= more
    return fed


def _oplog_problem(facts: LockFacts) -> str | None:
    window, expected = facts.oplog_window_seconds, facts.expected_lock_seconds
    if window is None or window >= OPLOG_FACTOR * expected:
        return None
    return (
        f"the oplog reaches back {window:.0f} s, less than twice the {expected:.0f} s that the lock is expected to"
        " last: the member might not catch up"
    )
