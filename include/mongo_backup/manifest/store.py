"""Inventories and manifests in the repository, and the one moment at which a set comes into being: `commit`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from mongo_backup.errors import MongoBackupError, PermanentError, PreconditionError, VerificationError
from mongo_backup.manifest.catalog import MANIFEST, SetCatalog, SetEntry
from mongo_backup.manifest.model import FORMAT_VERSION, Inventory, Manifest
from mongo_backup.model import Model
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import read_file
from mongo_backup.repository.records import Snapshot
from mongo_backup.repository.restic import Repository

logger = logging.getLogger(__name__)

MANIFEST_FILE = "/manifest.json"
_Document = TypeVar("_Document", bound=Model)


def archive_file(component: str) -> str:
    """The path of a component's archive in its snapshot."""
    return f"/{_plain(component)}.archive"


def inventory_file(component: str) -> str:
    """The path of a component's inventory in its snapshot."""
    return f"/{_plain(component)}.inventory.json"


def _plain(component: str) -> str:
    return component.replace("/", "_")


def write_inventory(repository: Repository, *, set_id: str, session: str | None, inventory: Inventory) -> str:
    """Save an inventory; returns the snapshot's id.

    :raises MongoBackupError: nothing was saved.
    """
    label = Label(set_id=set_id, component=inventory.component, part="inventory", session=session)
    return write_document(repository, label, inventory_file(inventory.component), inventory)


def read_inventory(repository: Repository, snapshot_id: str, component: str) -> Inventory:
    """Read an inventory back.

    :raises MongoBackupError: it is not there, or not an inventory of that component.
    """
    inventory = read_document(repository, snapshot_id, inventory_file(component), Inventory)
    if inventory.component != component:
        raise PermanentError(f"snapshot {snapshot_id[:8]} is the inventory of {inventory.component}, not {component}")
    return inventory


def read_manifest(repository: Repository, entry: SetEntry) -> Manifest:
    """Read the manifest of a set.

    :raises PreconditionError: the set has none, or it was written by a newer version of this product.
    :raises PermanentError: it is damaged.
    """
    if entry.manifest_id is None:
        raise PreconditionError(f"set {entry.set_id} is not complete: it has no manifest")
    return decode_manifest(read_file(repository, entry.manifest_id, MANIFEST_FILE), entry.set_id)


def read_manifests(
    repository: Repository, entries: Iterable[SetEntry], *, archives: bool = True
) -> list[tuple[SetEntry, Manifest | MongoBackupError]]:
    """Read the manifests of many sets; in the place of one that cannot be read there is the reason: the others count.

    :param archives: also `require_archives`.
    :raises MongoBackupError: none can be read, or the store does not answer.
    """

    def read(entry: SetEntry) -> Manifest | MongoBackupError:
        try:
            manifest = read_manifest(repository, entry)
            if archives:
                require_archives(entry, manifest)
        except (PermanentError, PreconditionError) as error:
            return error
        return manifest

    entries = tuple(entries)
    with ThreadPoolExecutor(max_workers=4) as pool:
        found = list(zip(entries, pool.map(read, entries), strict=True))
    errors = [each for _, each in found if isinstance(each, MongoBackupError)]
    if errors and len(errors) == len(found):
        raise errors[-1]
    return found


def require_archives(entry: SetEntry, manifest: Manifest) -> None:
    """Refuse a set that has lost an archive, whoever removed it: it cannot be restored as a whole.

    :raises PreconditionError: it has.
    """
    if lost := sorted(each.name for each in manifest.components if each.archive_id not in entry.part_ids):
        raise PreconditionError(
            f"set {manifest.set_id} has lost the archive of {', '.join(lost)}: its snapshot is not in the repository "
            "any more; choose another set"
        )


def decode_manifest(text: bytes, set_id: str) -> Manifest:
    """Check and parse a manifest; the form's version first, since a newer form has fields that this one refuses.

    :raises PreconditionError: it is of a newer form.
    :raises PermanentError: it is no manifest, or another set's.
    """
    try:
        version = json.loads(text)["format_version"]
    except (ValueError, KeyError, TypeError):
        raise PermanentError(f"the manifest of set {set_id} is damaged: it is no JSON with a format_version") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise PreconditionError(
            f"the manifest of set {set_id} has format version {version}, this is {FORMAT_VERSION}: "
            "use the version of mongo-backup that wrote it, or a newer one"
        )
    manifest = _decode(Manifest, text, set_id)
    if manifest.set_id != set_id:
        raise PermanentError(f"the manifest of set {set_id} names set {manifest.set_id}")
    return manifest


def commit(
    repository: Repository,
    manifest: Manifest,
    *,
    fence: Callable[[], None] = lambda: None,
    at: datetime | None = None,
) -> str:
    """Make the set complete: write its manifest last, read it back, compare. Returns the snapshot's id.

    The same commit again (a step that was tried twice) returns the first one's id.

    :param fence: called when all is written, just before the set comes into being; raises if it must not.
    :param at: of a copy: when the set was complete in its source, by which retention counts.
    :raises PreconditionError: another manifest has this set id, or a component's archive is not in the repository.
    :raises VerificationError: what was read back is not what was written; the manifest was removed.
    """
    snapshots = repository.snapshots(tags=(f"set={manifest.set_id}",))
    if (done := _committed(repository, manifest, snapshots)) is not None:
        return done
    _require_archives(manifest, snapshots)
    label = Label(set_id=manifest.set_id, component=MANIFEST, part="manifest", session=manifest.session)
    text = _encode(manifest)
    manifest_id = _write(repository, label, MANIFEST_FILE, text, before_saving=fence, at=at)
    if read_file(repository, manifest_id, MANIFEST_FILE) != text:
        repository.forget([manifest_id])
        raise VerificationError(f"the manifest of set {manifest.set_id} is not as written: the set is not complete")
    logger.info("set %s is complete: manifest %s, %d bytes", manifest.set_id, manifest_id[:8], len(text))
    return manifest_id


def _committed(repository: Repository, manifest: Manifest, snapshots: tuple[Snapshot, ...]) -> str | None:
    entry = next(iter(SetCatalog(snapshots).complete()), None)
    if entry is None:
        return None
    there = read_manifest(repository, entry)
    if _archives(there) != _archives(manifest):
        raise PreconditionError(f"set {manifest.set_id} is already committed, with other archives: use a new set id")
    logger.info("set %s was complete already", manifest.set_id)
    return entry.manifest_id


def _archives(manifest: Manifest) -> dict[str, str]:
    return {component.name: component.archive_id for component in manifest.components}


def _require_archives(manifest: Manifest, snapshots: tuple[Snapshot, ...]) -> None:
    there = {each.id: each.tag("component") for each in snapshots if each.tag("part") == "archive"}
    if not manifest.components:
        raise PreconditionError(f"set {manifest.set_id} has no component: there is nothing to commit")
    for name, archive_id in _archives(manifest).items():
        if there.get(archive_id) != name:
            raise PreconditionError(
                f"the archive of {name} (snapshot {archive_id[:8]}) is not in the repository: set {manifest.set_id} "
                "cannot be committed; run the backup again"
            )


def write_document(
    repository: Repository, label: Label, file: str, document: Model, *, at: datetime | None = None
) -> str:
    """Save a small document as a snapshot of its own; returns the snapshot's id.

    :param at: the snapshot's time; None: now.

    :raises MongoBackupError: nothing was saved.
    """
    return _write(repository, label, file, _encode(document), at=at)


def read_document(repository: Repository, snapshot_id: str, file: str, kind: type[_Document]) -> _Document:
    """Read such a document back.

    :raises MongoBackupError: it is not there, or of another form.
    """
    return _decode(kind, read_file(repository, snapshot_id, file), snapshot_id)


def _write(
    repository: Repository,
    label: Label,
    file: str,
    text: bytes,
    *,
    before_saving: Callable[[], None] = lambda: None,
    at: datetime | None = None,
) -> str:
    with BackupSink(repository, label, file, at=at) as sink:
        sink.write(text)
        before_saving()
        return sink.finish().snapshot_id


def _encode(document: Model) -> bytes:
    return document.model_dump_json(by_alias=True).encode()


def _decode(kind: type[_Document], text: bytes, where: str) -> _Document:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        what = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, what["loc"]))
        raise PermanentError(f"the {kind.__name__.lower()} of {where} is damaged: {what['msg']} at {place}") from None
