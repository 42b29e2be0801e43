"""The dump of one component: reads the catalog, reads collections ahead, writes them in order.

The bytes depend on the data alone: collections stand in the order of their names, each in its natural order (or in that
of the shard key, where only owned ranges are read), and no time is written. So a second backup of the same data adds
next to nothing to a repository that deduplicates.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from mongo_backup.archive.format import ArchiveHeader
from mongo_backup.archive.writer import ArchiveWriter, Write
from mongo_backup.catalog import CatalogEntry
from mongo_backup.connection import mongo_errors
from mongo_backup.digest import DocumentDigest
from mongo_backup.engines.base import DumpJob, OnReadComplete
from mongo_backup.engines.native.readers import Readers
from mongo_backup.engines.native.reading import Reading
from mongo_backup.engines.native.replies import Batch
from mongo_backup.engines.preparation import expected_catalog, leftovers
from mongo_backup.engines.progress import Progress
from mongo_backup.engines.records import namespace_record, prelude_entries
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.orphans import Bounds

logger = logging.getLogger(__name__)

_SWITCH_SECONDS = 0.0005


def dump(job: DumpJob, *, write: Write, on_read_complete: OnReadComplete) -> tuple[NamespaceRecord, ...]:
    """Dump a component; see `mongo_backup.engines.base.DumpEngine`.

    :raises TransientError: the member did not answer, or a collection vanished while it was read as it stands.
    :raises PermanentError: the cluster time can no longer be read, or the catalog is not the expected one.
    """
    entries = expected_catalog(job)
    owned = leftovers(job, entries)
    readings = [_reading(job, entry, owned) for entry in entries if entry.has_documents]

    def complete() -> None:
        if job.expected_catalog is not None:
            expected_catalog(job)
        logger.info("%s: all is read from %s", job.component, job.host)
        on_read_complete()

    with (
        _eager_threads(),
        Readers(job, readings, then=complete) as readers,
        Progress(component=job.component, collections=len(entries), keep_alive=readers.keep_alive) as progress,
    ):
        records = _write_archive(job, entries, readings, readers=readers, write=write, progress=progress)
        readers.finish()
    return records


@contextmanager
def _eager_threads() -> Iterator[None]:
    """Let a thread that has received something go on soon.

    Each piece that comes from the network needs the interpreter's lock for a moment. By default the thread that digests
    documents keeps it for 5 ms at a time, so the others could receive no more than some hundred pieces a second.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def _reading(job: DumpJob, entry: CatalogEntry, owned: Mapping[str, tuple[Bounds, ...]]) -> Reading:
    # MongoDB refuses snapshot reads of capped collections.
    time = None if entry.capped else job.cluster_time
    return Reading(entry=entry, cluster_time=time, bounds=owned.get(entry.namespace))


def _write_archive(
    job: DumpJob,
    entries: Iterable[CatalogEntry],
    readings: list[Reading],
    *,
    readers: Readers,
    write: Write,
    progress: Progress,
) -> tuple[NamespaceRecord, ...]:
    lanes = {reading.entry.namespace: lane for lane, reading in enumerate(readings)}
    writer = ArchiveWriter(write)
    writer.prelude(_header(job), prelude_entries(entries))
    records = []
    for entry in entries:
        lane = lanes.get(entry.namespace)
        if lane is None:
            records.append(_without_documents(writer, entry))
        else:
            records.append(_with_documents(writer, readings[lane], readers.batches(lane), progress))
        progress.collections += 1
    writer.flush()
    return tuple(records)


def _without_documents(writer: ArchiveWriter, entry: CatalogEntry) -> NamespaceRecord:
    if entry.type == "view":
        writer.begin(entry.db, entry.collection)
        writer.end()
    return namespace_record(entry)


def _with_documents(
    writer: ArchiveWriter, reading: Reading, batches: Iterable[Batch], progress: Progress
) -> NamespaceRecord:
    digest = DocumentDigest()
    writer.begin(reading.entry.db, reading.entry.collection)
    for batch in batches:
        for documents in batch.groups():
            joined = b"".join(documents)
            digest.add(documents, size=len(joined))
            writer.documents(joined)
            progress.add(documents=len(documents), bytes=len(joined))
    writer.end()
    return namespace_record(
        reading.entry,
        digest,
        at_cluster_time=reading.cluster_time is not None,
        owned=reading.bounds is not None,
    )


def _header(job: DumpJob) -> ArchiveHeader:
    with mongo_errors("asking for the version", job.host):
        server: str = job.client.server_info()["version"]
    return ArchiveHeader(server_version=server, tool_version=f"mongo-backup {version('mongo-backup')}")
