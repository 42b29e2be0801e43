"""A whole run of copying: what is missing comes, what the copy's policy does not keep goes."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta

from mongo_backup import clock
from mongo_backup.copies.plan import CopyPlan, plan_copy
from mongo_backup.copies.transfer import copy_set
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.model import Model
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.restic import Repository
from mongo_backup.retention.apply import apply_plan, clean_incomplete, plan_for

logger = logging.getLogger(__name__)


class CopyDone(Model):
    """What a run did."""

    copied: tuple[str, ...] = ()
    """The newest first."""
    bytes: int = 0
    """Of their archives."""
    forgotten: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    """Sets that should go and that the store does not let go."""
    sets: int = 0
    """Complete sets of the session in the copy."""
    newest_set: str | None = None
    newest_time: datetime | None = None
    seconds: float = 0.0


def look(
    source: Repository, copy: Repository, policy: RetentionSpec | None, *, session: str, there: bool = True
) -> CopyPlan:
    """Say what a run would do; touches nothing.

    :param there: False: the copy's repository is not made yet.
    """
    found = copy.snapshots() if there else ()
    return plan_copy(source.snapshots(), found, policy, session=session, now=clock.now())


def copy_sets(
    source: Repository, copy: Repository, policy: RetentionSpec | None, *, session: str, timeout: float
) -> CopyDone:
    """Copy what is missing, the newest set first, then apply the copy's policy. Done again it does what is left.

    :param timeout: longest time for the data of all sets, in seconds.
    :raises MongoBackupError: it was not finished; each set is in the copy as a whole, or is not a set there.
    """
    began = time.monotonic()
    copy.ensure(like=source)
    copy.unlock_stale()
    originals, there = source.snapshots(), copy.snapshots()
    plan = plan_copy(originals, there, policy, session=session, now=clock.now())
    _tell(source, copy, plan)
    if plan.broken:
        entries = SetCatalog(there).complete(session)
        copy.forget([each.manifest_id for each in entries if each.set_id in plan.broken and each.manifest_id])
    size = 0
    for entry in plan.wanted:
        left = max(1.0, timeout - (time.monotonic() - began))
        size += copy_set(source, copy, entry, originals=originals, there=there, timeout=left).bytes
        logger.info("Set %s is in the copy", entry.set_id)
    catalog = SetCatalog(copy.snapshots() if plan.wanted else there)
    forgotten, refused = _retain(copy, catalog, policy, session)
    complete = [each for each in catalog.complete(session) if each.set_id not in forgotten]
    return CopyDone(
        copied=tuple(each.set_id for each in plan.wanted),
        bytes=size,
        forgotten=forgotten,
        refused=refused,
        sets=len(complete),
        newest_set=complete[-1].set_id if complete else None,
        newest_time=complete[-1].time if complete else None,
        seconds=round(time.monotonic() - began, 3),
    )


def _retain(
    copy: Repository, catalog: SetCatalog, policy: RetentionSpec | None, session: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Apply the policy, and remove what was begun and is not wanted any more; returns what went and what was refused.

    All that was to come is there now, so a set of this session without a manifest is the remains of an earlier run.
    """
    plan = plan_for(catalog, policy, session=session)
    forgotten = apply_plan(copy, catalog, plan)
    others = {each.set_id for each in catalog.incomplete() if each.session != session}
    for set_id in clean_incomplete(copy, catalog, older_than=timedelta(), alive=others):
        logger.info("Removed what an interrupted copy had left: set %s", set_id)
    return forgotten, tuple(each.set_id for each in plan.forgotten if each.set_id not in forgotten)


def _tell(source: Repository, copy: Repository, plan: CopyPlan) -> None:
    logger.info("From %s to %s: %d sets to copy, %d there", source.location, copy.location, *_counts(plan))
    if plan.wanted and (reason := copy.cannot_join(source)) is not None:
        logger.info("The archives are read and written anew, as a whole: %s", reason)
    for name in plan.broken:
        logger.warning("Set %s is not in the copy what it is in the source: it is copied again", name)
    for name in plan.failed:
        logger.warning("Set %s is not copied: a verification found it wrong", name)
    if plan.passed_over:
        logger.info("The copy's policy would not keep: %s", ", ".join(plan.passed_over))


def _counts(plan: CopyPlan) -> tuple[int, int]:
    return len(plan.wanted), len(plan.there)
