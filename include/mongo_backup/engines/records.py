"""From the catalog to what archive and manifest say of a namespace; the same for every engine."""

from __future__ import annotations

from collections.abc import Iterable

import bson
from bson.raw_bson import RawBSONDocument

from mongo_backup.archive.format import PreludeEntry
from mongo_backup.archive.metadata import extended_json, format_metadata
from mongo_backup.catalog import CatalogEntry
from mongo_backup.digest import DocumentDigest
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.namespaces import BUCKETS_PREFIX, data_name


def prelude_entries(entries: Iterable[CatalogEntry]) -> list[PreludeEntry]:
    """Return what an archive announces: a time series is one entry, under the name that users know.

    A shard may hold the buckets of a time series without the series itself, which only the database's primary shard
    has. The archive still announces the series, for there is no other way to tell of its buckets.
    """
    known = list(entries)
    names = {entry.namespace for entry in known}
    announced: list[PreludeEntry] = []
    for entry in known:
        series = f"{entry.db}.{data_name(entry.collection)}"
        if not entry.collection.startswith(BUCKETS_PREFIX):
            announced.append(_announce(entry))
        elif series not in names:
            announced.append(_announce(_series_of(entry)))
    return announced


def namespace_record(
    entry: CatalogEntry, digest: DocumentDigest | None = None, *, at_cluster_time: bool = False, owned: bool = False
) -> NamespaceRecord:
    """Return what the manifest says of a namespace.

    :param digest: of the documents that were read; None: it has none of its own.
    :param owned: only what the shard owns was read.
    """
    digest = digest or DocumentDigest()
    return NamespaceRecord(
        db=entry.db,
        collection=entry.collection,
        type=entry.type,
        uuid=entry.uuid,
        options=extended_json(entry.options),
        indexes=tuple(map(extended_json, entry.indexes)),
        documents=digest.documents,
        bytes=digest.bytes,
        digest=digest.hexdigest(),
        at_cluster_time=at_cluster_time,
        orphans_left_out=owned,
    )


def _announce(entry: CatalogEntry) -> PreludeEntry:
    text = format_metadata(
        collection=entry.collection,
        type=entry.type,
        options=entry.options,
        indexes=entry.indexes,
        uuid=entry.uuid,
    )
    return PreludeEntry(db=entry.db, collection=entry.collection, type=entry.type, metadata_text=text)


def _series_of(buckets: CatalogEntry) -> CatalogEntry:
    options = RawBSONDocument(buckets.options)
    return CatalogEntry(
        db=buckets.db,
        collection=data_name(buckets.collection),
        type="timeseries",
        options=bson.encode({"timeseries": options["timeseries"]} if "timeseries" in options else {}),
    )
