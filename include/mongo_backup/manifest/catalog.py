"""Which sets are in a repository. A set exists only if its manifest does; all else are remains or still being made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from mongo_backup.errors import PreconditionError
from mongo_backup.model import Model
from mongo_backup.repository.records import Snapshot
from mongo_backup.repository.restic import Repository

LATEST = "latest"
MANIFEST = "manifest"
"""The component and the part of a manifest's snapshot."""
VERIFICATION = "verification"
"""The component and the part of a verification's snapshot; its tag `result` is `verified` or `failed`."""
VERIFIED = "verified"
MARK = "mark"
"""The component and the part of a mark's snapshot; its tag `mark` is the word."""


class SetEntry(Model):
    """One set as the repository's listing shows it."""

    set_id: str
    session: str | None = None
    time: datetime
    """When its manifest was written; when its newest part was, where there is no manifest."""
    manifest_id: str | None = None
    """The manifest's snapshot; None: the set is not complete."""
    part_ids: tuple[str, ...] = ()
    """All other snapshots of the set."""
    verdict: str | None = None
    """Of its newest verification: `verified` or `failed`; None: it never was restored and compared."""
    judged: datetime | None = None
    """When that verification ended."""
    verification_id: str | None = None
    """The snapshot with its record."""
    mark_ids: tuple[tuple[str, str], ...] = ()
    """Each mark with its snapshot: `pinned`, or words that policies know."""

    @property
    def complete(self) -> bool:
        """Whether it counts as a backup."""
        return self.manifest_id is not None

    @property
    def marks(self) -> tuple[str, ...]:
        """The set's marks."""
        return tuple(dict.fromkeys(word for word, _ in self.mark_ids))

    @property
    def verified(self) -> bool:
        """Whether its newest verification found all as the manifest says."""
        return self.verdict == VERIFIED


class SetCatalog:
    """The sets of one configuration, from one listing of its repository.

    :param snapshots: what `Repository.snapshots` returned; those without a `set` tag are nobody's business here.
    """

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        parts: dict[str, list[Snapshot]] = defaultdict(list)
        for snapshot in snapshots:
            if set_id := snapshot.tag("set"):
                parts[set_id].append(snapshot)
        entries = [_entry(set_id, found) for set_id, found in parts.items()]
        self._entries = sorted(entries, key=lambda entry: (entry.time, entry.set_id))

    @classmethod
    def read(cls, repository: Repository) -> SetCatalog:
        """List the repository.

        :raises MongoBackupError: it cannot be listed.
        """
        return cls(repository.snapshots())

    def complete(self, session: str | None = None) -> tuple[SetEntry, ...]:
        """The complete sets, oldest first; of one session, if it is named."""
        return tuple(each for each in self._entries if each.complete and session in (None, each.session))

    def verified(self, session: str | None = None) -> tuple[str, ...]:
        """Ids of the complete sets that are verified, oldest first: a retention never removes the last of them."""
        return tuple(each.set_id for each in self.complete(session) if each.verified)

    def unverified(self, session: str | None = None) -> int:
        """How many complete sets are newer than the newest one with a verdict, whichever that is."""
        complete = self.complete(session)
        newest = max((number for number, each in enumerate(complete, start=1) if each.verdict), default=0)
        return len(complete) - newest

    def incomplete(self) -> tuple[SetEntry, ...]:
        """Sets without a manifest, oldest first: remains of failed backups, and backups that run now."""
        return tuple(each for each in self._entries if not each.complete)

    def find(self, wanted: str = LATEST, *, session: str | None = None) -> SetEntry:
        """The set of that id, or the newest complete one for `latest`.

        :raises PreconditionError: there is no such complete set.
        """
        complete = self.complete(session)
        if wanted == LATEST:
            if not complete:
                raise PreconditionError("the repository has no complete set: run a backup first")
            return complete[-1]
        if found := next((each for each in complete if each.set_id == wanted), None):
            return found
        if any(each.set_id == wanted for each in self._entries):
            raise PreconditionError(f"set {wanted} is not complete: it has no manifest, so it cannot be restored")
        newest = ", ".join(each.set_id for each in reversed(complete[-5:])) or "none"
        raise PreconditionError(f"there is no set {wanted}; the newest complete ones are: {newest}")


def _entry(set_id: str, snapshots: list[Snapshot]) -> SetEntry:
    newest_first = sorted(snapshots, key=lambda snapshot: snapshot.time, reverse=True)
    manifest = next((each for each in newest_first if each.tag("part") == MANIFEST), None)
    judged = next((each for each in newest_first if each.tag("part") == VERIFICATION), None)
    return SetEntry(
        set_id=set_id,
        session=next((session for each in newest_first if (session := each.tag("session"))), None),
        time=(manifest or newest_first[0]).time,
        manifest_id=manifest.id if manifest else None,
        part_ids=tuple(each.id for each in newest_first if each is not manifest),
        verdict=judged.tag("result") if judged else None,
        judged=judged.time if judged else None,
        mark_ids=tuple((word, each.id) for each in newest_first if (word := each.tag(MARK))),
        verification_id=judged.id if judged else None,
    )
