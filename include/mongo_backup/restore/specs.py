"""What must exist on the target before documents can come: collections as their source described them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import bson
from bson.binary import Binary, UuidRepresentation
from bson.raw_bson import RawBSONDocument

from mongo_backup.archive.format import PreludeEntry
from mongo_backup.archive.metadata import parse_metadata
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.namespaces import BUCKETS_PREFIX
from mongo_backup.restore.rules import RestoreRules

_EMPTY = bson.encode({})
_DROPPED_OPTIONS = {"autoIndexId", "uuid", "temp", "flags"}
"""Of old servers; newer ones refuse them or own them."""
_EXPIRY = "expireAfterSeconds"


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
    """Hexadecimal; of a time series: that of its buckets."""
    buckets_only: bool = False
    """A time series on a shard that is not the primary one of its database: buckets exist there, its name does not."""

    @property
    def data_collection(self) -> str:
        """The collection that holds the documents."""
        return BUCKETS_PREFIX + self.collection if self.type == "timeseries" else self.collection

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"

    @property
    def options(self) -> dict[str, Any]:
        """The options to create it with; documents in them stay raw, so that nothing changes on its way.

        Not the expiry: documents whose time has come would vanish before they were compared.
        """
        fields = dict(RawBSONDocument(self.raw_options))
        return {name: value for name, value in fields.items() if name not in {*_DROPPED_OPTIONS, _EXPIRY}}

    @property
    def expire_after(self) -> Any:
        """Seconds after which a time series or clustered collection forgets; None: never."""
        return RawBSONDocument(self.raw_options).get(_EXPIRY)

    @property
    def indexes(self) -> list[RawBSONDocument]:
        """The specifications, raw."""
        return [RawBSONDocument(raw) for raw in self.raw_indexes]

    def own_indexes(self, *, expiring: bool) -> list[RawBSONDocument]:
        """Those that are built by themselves: of the expiring (TTL) kind, or of the other."""
        return [
            index
            for index in self.indexes
            if index["name"] != "_id_" and not index.get("clustered") and (_EXPIRY in index) == expiring
        ]

    @property
    def id_index(self) -> RawBSONDocument | None:
        """The one on `_id`, if it is listed; a clustered collection has none."""
        return next((index for index in self.indexes if index["name"] == "_id_"), None)

    @property
    def capped(self) -> bool:
        """Its documents must keep their order."""
        return bool(RawBSONDocument(self.raw_options).get("capped"))

    @property
    def binary_uuid(self) -> Binary | None:
        """The UUID as BSON."""
        return Binary(bytes.fromhex(self.uuid), UuidRepresentation.STANDARD) if self.uuid else None


def specs_of(
    entries: Iterable[PreludeEntry], *, rules: RestoreRules, records: Iterable[NamespaceRecord] = ()
) -> list[CollectionSpec]:
    """Return what an archive announces and the rules accept, under the new names.

    :param records: the manifest's, for what archives do not tell of the buckets of a time series.
    :raises ArchiveError: an entry's metadata cannot be read.
    """
    known = {(record.db, record.collection): record for record in records}
    specs = []
    for entry in entries:
        if not rules.accepts(entry.db, entry.collection):
            continue
        metadata = entry.metadata()
        kind = entry.type or metadata.type or "collection"
        db, collection = rules.new_name(entry.db, entry.collection)
        data = known.get((entry.db, entry.data_collection))  # a time series has no UUID of its own, its buckets have
        hidden = kind == "timeseries" and data is not None and (entry.db, entry.collection) not in known
        spec = CollectionSpec(
            db=db,
            collection=collection,
            type=kind,
            raw_options=_options(data) if hidden and data else metadata.options,
            raw_indexes=_indexes(data) if hidden and data else metadata.indexes,
            uuid=None if kind == "view" else metadata.uuid or (data.uuid if data else None),
            buckets_only=hidden,
        )
        specs.append(spec)
    return specs


def _options(buckets: NamespaceRecord) -> bytes:
    """The options of the time series that these buckets belong to."""
    kept = {name: buckets.options[name] for name in ("timeseries", _EXPIRY) if name in buckets.options}
    return parse_metadata(json.dumps({"options": kept}), namespace=buckets.namespace).options


def _indexes(buckets: NamespaceRecord) -> tuple[bytes, ...]:
    return parse_metadata(json.dumps({"indexes": buckets.indexes}), namespace=buckets.namespace).indexes
