"""Which sets are to be copied: a pure function of the two listings and the copy's own policy.

The policy is asked about the sets of both repositories together, so that nothing is copied only to be forgotten, and
nothing that was forgotten in the copy comes back. Pins, marks and verdicts belong to the repository that they are in:
the copy keeps what is pinned in the copy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from mongo_backup.manifest.catalog import SetCatalog, SetEntry
from mongo_backup.model import Model
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.records import Snapshot
from mongo_backup.retention.policy import SetTime, plan_retention

FAILED = "failed"
_Archives = dict[str, list[Snapshot]]


class CopyPlan(Model):
    """What a run does; each the newest first."""

    wanted: tuple[SetEntry, ...] = ()
    """Sets of the source that are to be copied."""
    there: tuple[str, ...] = ()
    """Sets of the source that are whole in the copy."""
    broken: tuple[str, ...] = ()
    """Of `wanted`: those that have a manifest in the copy already, and are not what the source has."""
    passed_over: tuple[str, ...] = ()
    """Sets of the source that the copy's policy would not keep."""
    failed: tuple[str, ...] = ()
    """Sets of the source that a verification found to be wrong: they are not copied."""
    forgotten: tuple[str, ...] = ()
    """Sets that the copy will not keep."""


def plan_copy(
    source: Iterable[Snapshot],
    copy: Iterable[Snapshot],
    policy: RetentionSpec | None,
    *,
    session: str,
    now: datetime | None = None,
) -> CopyPlan:
    """Say what is to be copied.

    :param source: what the source's `snapshots` returned.
    :param copy: the same of the copy; nothing where it is not made yet.
    :param policy: the copy's; None keeps everything.
    :param now: see `plan_retention`.
    """
    source, copy = tuple(source), tuple(copy)
    mine, theirs = SetCatalog(source), SetCatalog(copy)
    there = {each.set_id: each for each in theirs.complete(session)}
    wrong = {each.set_id for each in mine.complete(session) if each.verdict == FAILED and each.set_id not in there}
    offered = {each.set_id: each for each in mine.complete(session) if each.set_id not in wrong}
    times = [
        SetTime(set_id=name, time=each.time, marks=there[name].marks if name in there else ())
        for name, each in (offered | there).items()
    ]
    kept = plan_retention(times, policy, verified=theirs.verified(session), now=now)
    originals, copied = _archives(source), _archives(copy)
    broken = {name for name in offered.keys() & there.keys() if not _whole(originals[name], copied[name])}
    newest_first = [each.set_id for each in kept.kept]
    missing = [name for name in newest_first if name in offered and (name not in there or name in broken)]
    return CopyPlan(
        wanted=tuple(offered[name] for name in missing),
        there=tuple(name for name in newest_first if name in offered and name not in missing),
        broken=tuple(name for name in missing if name in broken),
        passed_over=tuple(each.set_id for each in kept.forgotten if each.set_id not in there),
        failed=tuple(sorted(wrong, reverse=True)),
        forgotten=tuple(each.set_id for each in kept.forgotten if each.set_id in there),
    )


def _archives(snapshots: Iterable[Snapshot]) -> Mapping[str, _Archives]:
    """The archives of each set by component; a dump that was tried again may have left several of one."""
    found: dict[str, _Archives] = defaultdict(lambda: defaultdict(list))
    for each in snapshots:
        if each.tag("part") == "archive":
            found[each.tag("set") or ""][each.tag("component") or ""].append(each)
    return found


def _whole(source: _Archives, copy: _Archives) -> bool:
    """Whether the copy has each component, with the content that it has in the source."""
    return all(any(same(one, other) for one in found for other in copy.get(name, ())) for name, found in source.items())


def same(original: Snapshot, copy: Snapshot) -> bool:
    """Whether a copy is what its original is, as far as listings tell.

    A tree's digest covers all content. What was read and written anew has another one (the file's time is part of it);
    its size was compared when it was copied.
    """
    return copy.origin == original.origin and (copy.tree == original.tree or copy.tag("original") is not None)
