"""Removing what a policy does not keep, so that an interruption at any point leaves no half set that looks whole.

The manifest goes first: from that moment the set does not exist for restore and retention. Its other parts follow; if
they cannot, they are the remains of a set without a manifest, which `clean_incomplete` removes later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from mongo_backup import clock
from mongo_backup.manifest.catalog import SetCatalog, SetEntry
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.restic import Repository
from mongo_backup.repository.upkeep import RefusedDeletionError
from mongo_backup.retention.policy import PINNED, RetentionPlan, SetTime, plan_retention, plan_words

logger = logging.getLogger(__name__)


def plan_for(catalog: SetCatalog, policy: RetentionSpec | None, *, session: str | None = None) -> RetentionPlan:
    """What the policy would do to the complete sets; touches nothing.

    :param session: only the sets of this session: each session may have a policy of its own.
    """
    sets = [SetTime(set_id=each.set_id, time=each.time, marks=each.marks) for each in catalog.complete(session)]
    return plan_retention(sets, policy, verified=catalog.verified(session), now=clock.now())


def apply_plan(repository: Repository, catalog: SetCatalog, plan: RetentionPlan) -> tuple[str, ...]:
    """Forget the sets that the plan does not keep; returns the ids of those that are gone. Data go with the next prune.

    What the store does not let go (locked objects, no right to delete) is a warning, and stays.

    :raises MongoBackupError: it was not finished; doing it again finishes it.
    """
    for words in plan_words(plan):
        logger.info("%s", words)
    going = {each.set_id for each in plan.forgotten}
    entries = [each for each in catalog.complete() if each.set_id in going]
    return _forget(repository, entries)


def clean_incomplete(
    repository: Repository,
    catalog: SetCatalog,
    *,
    older_than: timedelta,
    alive: Collection[str] = (),
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Forget sets that never got a manifest and surely never will; returns the ids of those that are gone.

    :param older_than: spare a set whose newest part is younger: its backup may still run. Use more than the longest
        backup may take.
    :param alive: ids of sets whose run still holds an entry in a journal; never touched. Neither are pinned ones.
    """
    border = (now or clock.now()) - older_than
    dead = [
        each
        for each in catalog.incomplete()
        if each.time < border and each.set_id not in alive and PINNED not in each.marks
    ]
    return _forget(repository, dead)


def _forget(repository: Repository, entries: Iterable[SetEntry]) -> tuple[str, ...]:
    """Forget sets; returns the ids of those of which nothing is left."""
    entries = list(entries)
    whole = _let_go(repository, [entry.manifest_id for entry in entries if entry.manifest_id])
    going = [entry for entry in entries if entry.manifest_id not in whole]
    left = _let_go(repository, [part for entry in going for part in entry.part_ids])
    gone = [entry for entry in going if left.isdisjoint(entry.part_ids)]
    for entry in gone:
        logger.info("forgot set %s (%s), %d snapshots", entry.set_id, entry.time.isoformat(), _size(entry))
    for entry in entries:
        if entry not in gone:
            what = "stays a complete set" if entry.manifest_id in whole else "is no set any more, its parts stay"
            logger.warning("The store does not let go of set %s: it %s", entry.set_id, what)
    return tuple(entry.set_id for entry in gone)


def _let_go(repository: Repository, ids: list[str]) -> frozenset[str]:
    """Forget snapshots; returns those that the store does not let go."""
    try:
        repository.forget(ids)
    except RefusedDeletionError as error:
        logger.warning("%s", error)
        return frozenset(error.left)
    return frozenset()


def _size(entry: SetEntry) -> int:
    return len(entry.part_ids) + (entry.manifest_id is not None)
