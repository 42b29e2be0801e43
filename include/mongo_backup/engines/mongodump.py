"""The official mongodump as an engine.

It cannot read at a cluster time and leaves nothing out by pattern. So its archive passes through our own reader on its
way: what the session does not want is dropped, all is checked, counted and digested, and the inventory is as full as
the native engine's. It reads one collection after the other, for several at once would come interleaved by chance, and
a repository would find nothing that it has already.
"""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator, Mapping

from mongo_backup.archive.reader import Block, Event, NamespaceEnd, Prelude, read_archive
from mongo_backup.archive.writer import ArchiveWriter, Write
from mongo_backup.catalog import CatalogEntry
from mongo_backup.digest import DocumentDigest
from mongo_backup.engines import tools
from mongo_backup.engines.base import DumpJob, OnReadComplete
from mongo_backup.engines.preparation import expected_catalog, leftovers
from mongo_backup.engines.progress import Progress
from mongo_backup.engines.records import namespace_record, prelude_entries
from mongo_backup.errors import ArchiveError, PermanentError, PreconditionError, TransientError
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.processes import GuardedProcess, redact

logger = logging.getLogger(__name__)

TOOL = "mongodump"
_SETTLE_SECONDS = 10.0


def find_mongodump() -> str:
    """Return the path of mongodump.

    :raises PreconditionError: it is not on PATH.
    """
    return tools.find_tool(TOOL)


def dump(
    job: DumpJob, *, write: Write, on_read_complete: OnReadComplete, arguments: tuple[str, ...] = ()
) -> tuple[NamespaceRecord, ...]:
    """Dump a component as it stands; see `mongo_backup.engines.base.DumpEngine`.

    The member should be locked: nothing else keeps it at one time. `job.connection` must be given.

    :param arguments: further ones for mongodump.
    :raises PreconditionError: mongodump is not here, or the shard holds documents that it does not own.
    :raises PermanentError: mongodump cannot dump something that belongs into the backup.
    :raises TransientError: mongodump lost the member or was killed.
    """
    program, further = find_mongodump(), tools.checked_arguments(arguments)
    entries = expected_catalog(job)
    if names := sorted(leftovers(job, entries)):
        raise PreconditionError(
            f"{job.component} holds documents that it does not own, of {', '.join(names[:3])}, and mongodump cannot "
            "leave them out: use engine: native, or wait until the range deleter has removed them"
        )
    with tools.configuration_file([job.host], job.connection, direct=True) as file:
        command = [program, f"--config={file}", "--archive", "--numParallelCollections=1", *_narrowed(job), *further]
        records = _run(job, command, entries, write)
    if job.expected_catalog is not None:
        expected_catalog(job)
    on_read_complete()
    return records


def _narrowed(job: DumpJob) -> list[str]:
    """Spare mongodump what nobody wants, as far as it can be told: a single database."""
    databases = {pattern.partition(".")[0] for pattern in job.selection.include}
    name = databases.pop() if len(databases) == 1 else "*"
    return [] if "*" in name or "\\" in name or job.selection.accepts_db("config") else [f"--db={name}"]


def _run(
    job: DumpJob, command: list[str], entries: tuple[CatalogEntry, ...], write: Write
) -> tuple[NamespaceRecord, ...]:
    secrets = tools.secrets_of(job.connection)
    try:
        process = GuardedProcess(
            command,
            environment=tools.environment(),
            on_error_line=lambda line: logger.info("%s: %s", TOOL, redact(line, secrets)),
        )
    except OSError as error:
        raise TransientError(f"{TOOL} cannot be started: {error.strerror}") from error
    try:
        with process.stdout as stream, Progress(component=job.component, collections=len(entries)) as progress:
            records = _Forward(job, entries, ArchiveWriter(write), progress).all(read_archive(stream))
        status = process.wait(None)
    except ArchiveError:
        if status := _ended(process):  # the archive ends early because mongodump did
            raise _failure(job, status, process, secrets) from None
        raise
    finally:
        process.end()
    if status:
        raise _failure(job, status, process, secrets)
    return records


def _ended(process: GuardedProcess) -> int:
    """Return the status of a tool that ends by itself; 0 if it does not."""
    try:
        return process.wait(_SETTLE_SECONDS)
    except subprocess.TimeoutExpired:
        return 0


def _failure(job: DumpJob, status: int, process: GuardedProcess, secrets: list[str]) -> Exception:
    return tools.tool_failure(TOOL, host=job.host, status=status, words=process.errors.text, secrets=secrets)


class _Forward:
    """Passes on what belongs into the backup, and takes stock of it."""

    def __init__(
        self, job: DumpJob, entries: tuple[CatalogEntry, ...], writer: ArchiveWriter, progress: Progress
    ) -> None:
        self._job = job
        self._entries = entries
        self._writer = writer
        self._progress = progress
        self._digests: dict[tuple[str, str], DocumentDigest] = {}
        self._begun: tuple[str, str] | None = None

    def all(self, events: Iterator[Event]) -> tuple[NamespaceRecord, ...]:
        wanted = {(entry.db, entry.collection) for entry in self._entries if entry.type != "timeseries"}
        for event in events:
            if isinstance(event, Prelude):
                self._prelude(event, wanted)
            elif (event.db, event.collection) in wanted:
                self._namespace(event)
        self._writer.flush()
        return tuple(_record(entry, self._digests) for entry in self._entries)

    def _prelude(self, prelude: Prelude, wanted: set[tuple[str, str]]) -> None:
        announced = {(entry.db, entry.data_collection): entry for entry in prelude.entries}
        if missing := sorted(".".join(name) for name in wanted - announced.keys()):
            raise PermanentError(
                f"{TOOL} leaves out {', '.join(missing[:3])} on {self._job.host}, which belongs into the backup: "
                "use engine: native"
            )
        ordered = [announced[entry.db, entry.data_collection] for entry in prelude_entries(self._entries)]
        self._writer.prelude(prelude.header, ordered)

    def _namespace(self, event: Block | NamespaceEnd) -> None:
        name = (event.db, event.collection)
        if self._begun != name:
            self._writer.begin(*name)
            self._begun = name
        digest = self._digests.setdefault(name, DocumentDigest())
        if isinstance(event, Block):
            digest.add(event.documents, size=len(event.joined))
            self._writer.documents(event.joined)
            self._progress.add(documents=len(event.documents), bytes=len(event.joined))
            return
        self._writer.end()
        self._begun = None
        self._progress.collections += 1


def _record(entry: CatalogEntry, digests: Mapping[tuple[str, str], DocumentDigest]) -> NamespaceRecord:
    return namespace_record(entry, digests.get((entry.db, entry.collection)) if entry.has_documents else None)
