"""What a check found to be damaged, in the words of people: which packs, and which sets need them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from mongo_backup.errors import MongoBackupError
from mongo_backup.repository.records import FOUND, Snapshot
from mongo_backup.repository.restic import Repository
from mongo_backup.repository.upkeep import DamagedError

_PACKS = re.compile(
    r"Pack ID does not match, want ([0-9a-f]{64})|pack ([0-9a-f]{8,64})[:\s]+(?:does not exist|contains|unexpected)"
    r"|<?data/([0-9a-f]{8,64})>?"
)
SHOWN = 20


def damaged_packs(words: str) -> tuple[str, ...]:
    """The packs that restic names, whole ids alone."""
    found = (next(filter(None, match.groups())) for match in _PACKS.finditer(words))
    return tuple(dict.fromkeys(each for each in found if len(each) == 64))


def snapshots_with(repository: Repository, packs: Iterable[str]) -> tuple[Snapshot, ...]:
    """The snapshots that need any of these packs.

    :raises MongoBackupError: restic cannot tell any more.
    """
    wanted = [word for pack in packs for word in ("--pack", pack)]
    if not wanted:
        return ()
    doing = "looking for the snapshots that need a pack"
    found = repository.ask(FOUND, doing, "find", "--json", "--no-lock", *wanted)
    ids = {each.snapshot for each in found}
    return tuple(each for each in repository.snapshots(all_hosts=True) if each.id in ids)


def describe(repository: Repository, error: DamagedError) -> str:
    """The error's message with the packs, and the sets with their components that are hit."""
    packs = damaged_packs(error.words)
    if not packs:
        return error.message
    try:
        hit: dict[str, set[str]] = defaultdict(set)
        for snapshot in snapshots_with(repository, packs):
            hit[snapshot.tag("set") or f"snapshot {snapshot.id[:8]}"].add(snapshot.tag("component") or "?")
        sets = "; ".join(f"{name} ({', '.join(sorted(parts))})" for name, parts in sorted(hit.items())[-SHOWN:])
    except MongoBackupError as trouble:
        sets = f"it cannot be said which ({trouble.message})"
    shown = ", ".join(each[:12] for each in packs[:SHOWN])
    return f"{error.message}. Damaged packs: {shown}. Sets that need them: {sets or 'none'}"
