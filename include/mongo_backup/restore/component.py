"""Writes one component's archive into its target: collections first, documents as they stream in, views last."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mongo_backup.archive.reader import Block, Event, NamespaceEnd, Prelude, Source, read_archive
from mongo_backup.connection import Client
from mongo_backup.engines.progress import Progress
from mongo_backup.errors import ArchiveError
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.namespaces import ACCOUNTS, BUCKETS_PREFIX
from mongo_backup.restore.collections import CollectionCreator
from mongo_backup.restore.documents import DocumentWriter
from mongo_backup.restore.insert import Batch
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.restore.specs import CollectionSpec, specs_of

RawDocument = bytes


@dataclass(frozen=True, kw_only=True)
class ComponentTarget:
    """Where one component's archive goes, and how.

    :param client: follows the target's primary.
    :param name: for the log, such as `shard0`.
    :param host: for messages.
    """

    client: Client
    name: str
    host: str
    rules: RestoreRules
    keep_uuids: bool
    shard_keys: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    records: tuple[NamespaceRecord, ...] = ()
    """The manifest's, for what an archive does not tell."""
    merge: bool = False
    own_leftovers: bool = False
    """This is a later try: what exists is from an earlier one."""
    threads: int = 4


@dataclass(kw_only=True)
class Restored:
    """What was written, and the users and roles that the archive holds (not written)."""

    collections: int = 0
    documents: int = 0
    bytes: int = 0
    seconds: float = 0
    users: list[RawDocument] = field(default_factory=list)
    roles: list[RawDocument] = field(default_factory=list)


def restore_archive(source: Source, target: ComponentTarget) -> Restored:
    """Restore everything that the rules accept. The archive is read to its end, so that all of it is checked.

    :raises ArchiveError: the archive is damaged or cut off.
    :raises PermanentError: a document or a collection was refused; the message says which and why.
    :raises PreconditionError: a namespace exists that may not be touched.
    """
    events = read_archive(source)
    specs = specs_of(_prelude(events).entries, rules=target.rules, records=target.records)
    creator = CollectionCreator(
        client=target.client, host=target.host, keep_uuids=target.keep_uuids, shard_keys=target.shard_keys
    )
    missing = creator.make_room(specs, merge=target.merge, own_leftovers=target.own_leftovers)
    for spec in missing:
        if spec.type != "view":
            creator.create(spec)
    restored = Restored(collections=len(missing))
    began = time.monotonic()
    with (
        Progress(component=target.name, collections=len(specs)) as progress,
        DocumentWriter(
            client=target.client,
            host=target.host,
            progress=progress,
            threads=target.threads,
            tolerate_same=target.merge,
        ) as writer,
    ):
        for event in _stream(events, target, writer, restored, capped={s.namespace for s in specs if s.capped}):
            progress.collections += int(target.rules.accepts(event.db, event.collection))
        writer.finish()
    for spec in missing:
        if spec.type == "view":
            creator.create(spec)
    restored.documents, restored.bytes, restored.seconds = progress.documents, progress.bytes, time.monotonic() - began
    return restored


def read_specs(
    source: Source, *, rules: RestoreRules, records: tuple[NamespaceRecord, ...] = ()
) -> list[CollectionSpec]:
    """Return what the archive announces, reading no further than its prelude."""
    return specs_of(_prelude(read_archive(source)).entries, rules=rules, records=records)


def _prelude(events: Iterator[Event]) -> Prelude:
    first = next(events)
    if not isinstance(first, Prelude):
        raise ArchiveError("the archive does not begin with its prelude")
    return first


def _stream(
    events: Iterator[Event], target: ComponentTarget, writer: DocumentWriter, restored: Restored, *, capped: set[str]
) -> Iterator[NamespaceEnd]:
    """Hand documents to the writer; yield each namespace when it has been read to its end."""
    accounts = {"system.users": restored.users, "system.roles": restored.roles}
    for event in events:
        if isinstance(event, NamespaceEnd):
            yield event
        elif isinstance(event, Block):
            if (event.db, event.collection) in ACCOUNTS:
                accounts[event.collection].extend(event.documents)
            elif target.rules.accepts(event.db, event.collection):
                db, collection = target.rules.new_name(event.db, event.collection)
                in_order = f"{db}.{collection}" in capped and not collection.startswith(BUCKETS_PREFIX)
                writer.write(Batch(db, collection, event.documents, event.joined), in_order=in_order)
            del event  # the next one may be as large
