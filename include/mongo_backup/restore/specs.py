"""What must exist on the target before documents can come: collections as their source described them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bson
from bson.binary import Binary, UuidRepresentation
from bson.raw_bson import RawBSONDocument

from mongo_backup.archive.format import PreludeEntry
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.namespaces import BUCKETS_PREFIX
from mongo_backup.restore.rules import RestoreRules

_EMPTY = bson.encode({})
_DROPPED_OPTIONS = {"autoIndexId", "uuid", "temp", "flags"}
"""Of old servers; newer ones refuse them or own them."""


@dataclass(frozen=True, kw_only=True)
class CollectionSpec:
    """One namespace to be created, under its name on the target."""

    db: str
    collection: str
    type: str = "collection"
    """`collection`, `view` or `timeseries`."""
    raw_options: bytes = _EMPTY
    raw_indexes: tuple[bytes, ...] = ()
    uuid: str | None = None
    """Hexadecimal."""

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    @property
    def options(self) -> dict[str, Any]:
        """The options; documents in them stay raw, so that nothing changes on its way."""
        fields = dict(RawBSONDocument(self.raw_options))
        return {name: value for name, value in fields.items() if name not in _DROPPED_OPTIONS}

    @property
    def indexes(self) -> list[RawBSONDocument]:
        """The specifications, raw."""
        return [RawBSONDocument(raw) for raw in self.raw_indexes]

    @property
    def id_index(self) -> RawBSONDocument | None:
        """The one on `_id`, if it is listed; a clustered collection has none."""
        return next((index for index in self.indexes if index["name"] == "_id_"), None)

    @property
    def capped(self) -> bool:
        """Its documents must keep their order."""
        return bool(RawBSONDocument(self.raw_options).get("capped"))

    @property
    def is_buckets(self) -> bool:
        """It holds the documents of a time series."""
        return self.collection.startswith(BUCKETS_PREFIX)

    @property
    def binary_uuid(self) -> Binary | None:
        """The UUID as BSON."""
        return Binary(bytes.fromhex(self.uuid), UuidRepresentation.STANDARD) if self.uuid else None


def specs_of(
    entries: Iterable[PreludeEntry], *, rules: RestoreRules, records: Iterable[NamespaceRecord] = ()
) -> list[CollectionSpec]:
    """Return what an archive announces and the rules accept, under the new names.

    :param records: the manifest's, for what archives of mongodump do not tell: the UUID of a time series' buckets.
    :raises ArchiveError: an entry's metadata cannot be read.
    """
    uuids = {(record.db, record.collection): record.uuid for record in records if record.uuid}
    specs = []
    for entry in entries:
        if not rules.accepts(entry.db, entry.collection):
            continue
        metadata = entry.metadata()
        kind = entry.type or metadata.type or "collection"
        db, collection = rules.new_name(entry.db, entry.collection)
        # a time series has no UUID of its own, its buckets have
        uuid = metadata.uuid or uuids.get((entry.db, entry.data_collection))
        spec = CollectionSpec(
            db=db,
            collection=collection,
            type=kind,
            raw_options=metadata.options,
            raw_indexes=metadata.indexes,
            uuid=None if kind == "view" else uuid,
        )
        specs.append(spec)
    return specs
