"""Marks on sets, kept in the repository: `pinned` keeps a set for ever, other words where a policy names them.

A mark is a small snapshot of its own, tagged with the set's id, as a verification's record is: to change the tags of
the manifest's snapshot would need the repository for oneself, and a right to delete.
"""

from __future__ import annotations

import json

from mongo_backup import clock
from mongo_backup.errors import ConfigurationError
from mongo_backup.manifest.catalog import MARK, SetCatalog, SetEntry
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository

MARK_FILE = "/mark.json"


def add_mark(repository: Repository, entry: SetEntry, mark: str, *, reason: str = "") -> bool:
    """Mark a set; returns whether it was not marked so before.

    :param reason: why, for people; kept in the mark's document.
    :raises MongoBackupError: it is not marked.
    """
    if mark in entry.marks:
        return False
    label = Label(set_id=entry.set_id, component=MARK, part="mark", session=entry.session, mark=mark)
    document = {"mark": mark, "reason": reason, "at": clock.now().isoformat(timespec="seconds")}
    with BackupSink(repository, label, MARK_FILE) as sink:
        sink.write(json.dumps(document).encode())
        sink.finish()
    return True


def remove_mark(repository: Repository, entry: SetEntry, mark: str) -> bool:
    """Take a mark off a set; returns whether it had it.

    :raises MongoBackupError: it still has it.
    """
    ids = [snapshot for word, snapshot in entry.mark_ids if word == mark]
    repository.forget(ids)
    return bool(ids)


def any_set(catalog: SetCatalog, set_id: str) -> SetEntry:
    """The set of that id, also one without a manifest: what a failed backup left can be pinned for diagnosis.

    :raises ConfigurationError: there is none.
    """
    entries = {each.set_id: each for each in (*catalog.complete(), *catalog.incomplete())}
    if set_id in entries:
        return entries[set_id]
    newest = ", ".join(each.set_id for each in reversed(catalog.complete()[-5:])) or "none"
    raise ConfigurationError(f"there is no set {set_id}; the newest complete ones are: {newest}")
