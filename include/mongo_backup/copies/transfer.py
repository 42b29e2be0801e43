"""One set into another repository: its archives first, its manifest last.

Where one restic process can work on both repositories, `restic copy` does it: it reads and sends what the copy does not
have yet. Where it cannot (`repository.joining`), one restic reads the archives and another one writes them: that works
with any two stores, and reads all of a set. Either way a snapshot's id changes, so the copy has a manifest of its own
that names the new ids; before it is written, each archive is compared with the source's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import closing

from pydantic import TypeAdapter

from mongo_backup import clock
from mongo_backup.copies.plan import same
from mongo_backup.errors import PreconditionError, VerificationError
from mongo_backup.manifest.catalog import SetEntry
from mongo_backup.manifest.model import ComponentRecord, Copied, Manifest
from mongo_backup.manifest.store import commit, read_manifest
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import PIPE_BYTES, BackupSink
from mongo_backup.repository.read import SnapshotReader
from mongo_backup.repository.records import Snapshot, Tree
from mongo_backup.repository.restic import Repository
from mongo_backup.repository.upkeep import RefusedDeletionError

logger = logging.getLogger(__name__)

WAIT_SECONDS = 3600.0
"""How long a prune of either repository is waited for."""
_TREE: TypeAdapter[Tree] = TypeAdapter(Tree)


def copy_set(
    source: Repository,
    copy: Repository,
    entry: SetEntry,
    *,
    originals: Iterable[Snapshot],
    there: Iterable[Snapshot],
    timeout: float,
) -> Manifest:
    """Copy a complete set, or the rest of one that was begun; returns the copy's manifest.

    :param originals: the source's snapshots.
    :param there: the copy's snapshots; what is there already does not come again.
    :param timeout: longest time for the data, in seconds.
    :raises PreconditionError: the source lost an archive.
    :raises VerificationError: what came is not what the source has; the set is not complete in the copy.
    """
    manifest = read_manifest(source, entry)
    archives = _archives_of(manifest, originals, source)
    known = {each.origin for each in there if each.tag("set") == manifest.set_id}
    missing = [each for each in archives.values() if each.origin not in known]
    if missing and copy.cannot_join(source) is None:
        copy.copy_from(source, [each.id for each in missing], timeout=timeout, wait_seconds=WAIT_SECONDS)
    else:
        for each in missing:
            _write_anew(source, copy, manifest, each)
    parts = {each.origin: each for each in copy.snapshots(tags=(f"set={manifest.set_id}", "part=archive"))}
    components = tuple(_compared(copy, each, archives[each.archive_id], parts) for each in manifest.components)
    copied = Copied(repository=source.location, manifest_id=entry.manifest_id or "", at=clock.now())
    told = manifest.model_copy(update={"components": components, "copied": copied})
    commit(copy, told, at=entry.time)
    return told


def _archives_of(manifest: Manifest, snapshots: Iterable[Snapshot], source: Repository) -> dict[str, Snapshot]:
    """The snapshots that a manifest names, by id.

    :raises PreconditionError: one is not there.
    """
    there = {each.id: each for each in snapshots}
    if lost := sorted(each.name for each in manifest.components if each.archive_id not in there):
        raise PreconditionError(
            f"set {manifest.set_id} has lost the archives of {', '.join(lost)} in {source.location}: it cannot be "
            "copied, nor restored"
        )
    return {each.archive_id: there[each.archive_id] for each in manifest.components}


def _write_anew(source: Repository, copy: Repository, manifest: Manifest, original: Snapshot) -> None:
    """Read an archive and write it into the copy, under the same tags and time."""
    component = next(each for each in manifest.components if each.archive_id == original.id)
    label = Label(
        set_id=manifest.set_id,
        component=component.name,
        part="archive",
        session=manifest.session,
        original=original.origin,
    )
    chunk = bytearray(PIPE_BYTES)
    with (
        closing(SnapshotReader(source, original.id, component.archive_file)) as stream,
        BackupSink(copy, label, component.archive_file, at=original.time) as sink,
    ):
        while count := stream.readinto(chunk):
            sink.write(memoryview(chunk)[:count])
        sink.finish()


def _compared(
    copy: Repository, component: ComponentRecord, original: Snapshot, parts: dict[str, Snapshot]
) -> ComponentRecord:
    """The component's record with the id that its archive has in the copy.

    :raises VerificationError: the archive did not come, or is another one.
    """
    found = parts.get(original.origin)
    if found is None:
        raise VerificationError(f"the archive of {component.name} did not come into {copy.location}: copy again")
    if not same(original, found) or (found.tree != original.tree and _size(copy, found) != component.bytes):
        _remove([found.id], copy)
        raise VerificationError(
            f"the copy of {component.name} in {copy.location} (snapshot {found.id[:8]}) is not what the source has, "
            "and was removed: copy again"
        )
    logger.info("%s is in the copy: %d bytes, snapshot %s", component.name, component.bytes, found.id[:8])
    return component.model_copy(update={"archive_id": found.id})


def _size(repository: Repository, snapshot: Snapshot) -> int:
    """Bytes of the files in a snapshot of ours: they lie at its top."""
    tree = repository.ask(_TREE, "reading a snapshot's tree", "cat", "blob", snapshot.tree, "--no-lock")
    return sum(node.size for node in tree.nodes)


def _remove(ids: Iterable[str], repository: Repository) -> None:
    try:
        repository.forget(list(ids))
    except RefusedDeletionError as error:
        logger.warning("%s", error)
