"""Compares what is on a target with what a manifest says: documents, catalog, routing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from bson.binary import Binary, UuidRepresentation

from mongo_backup.archive.metadata import extended_json
from mongo_backup.catalog import CatalogEntry, read_catalog
from mongo_backup.connection import Client, mongo_errors
from mongo_backup.digest import DocumentDigest
from mongo_backup.errors import VerificationError
from mongo_backup.manifest.model import NamespaceRecord
from mongo_backup.namespaces import Selection
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.topology.model import ComponentRole
from mongo_backup.verify.reading import namespace_digest

log = logging.getLogger(__name__)

_SHOWN = 20
_EXPIRY = "expireAfterSeconds"
Namespace = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One component of a set, and where it should be now."""

    name: str
    client: Client
    """Follows the target's primary."""
    host: str
    records: tuple[NamespaceRecord, ...]
    rules: RestoreRules
    merged: bool = False
    """There may be more documents than the manifest's: counts are lower bounds."""
    uuids: bool = False
    """UUIDs were kept."""

    def selected(self) -> Iterator[tuple[NamespaceRecord, Namespace]]:
        """The restored records and their names on the target."""
        for record in self.records:
            if self.rules.accepts(record.db, record.collection):
                yield record, self.rules.new_name(record.db, record.collection)


@dataclass
class Comparison:
    """What was compared, and every difference in words."""

    namespaces: int = 0
    documents: int = 0
    bytes: int = 0
    digests: int = 0
    uuids: int = 0
    differences: list[str] = field(default_factory=list)

    def judge(self) -> None:
        """Raise unless all is equal.

        :raises VerificationError: with the differences.
        """
        if self.differences:
            for difference in self.differences:
                log.error("differs: %s", difference)
            shown = "; ".join(self.differences[:_SHOWN])
            more = f"; and {len(self.differences) - _SHOWN} more" if len(self.differences) > _SHOWN else ""
            raise VerificationError(f"the target is not what the manifest says: {shown}{more}")


def compare_documents(subjects: Iterable[Subject], *, threads: int = 4) -> Comparison:
    """Read every restored namespace and compare count and digest, the largest first.

    Where documents were merged into a collection that lets them expire, they may be gone already: it is left out.
    """
    work = [
        (subject, record, name)
        for subject in subjects
        for record, name in subject.selected()
        if record.type == "collection" and not (subject.merged and expires(record))
    ]
    work.sort(key=lambda task: -task[1].bytes)
    comparison = Comparison()

    def read(task: tuple[Subject, NamespaceRecord, Namespace]) -> DocumentDigest:
        subject, _, (db, collection) = task
        return namespace_digest(subject.client, db=db, collection=collection, host=subject.host)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        for (subject, record, name), digest in zip(work, pool.map(read, work), strict=True):
            comparison.namespaces += 1
            comparison.documents += digest.documents
            comparison.bytes += digest.bytes
            exact = not subject.merged or digest.documents == record.documents
            comparison.digests += int(exact)
            if difference := _document_difference(record, digest, exact=exact):
                comparison.differences.append(f"{subject.name} {'.'.join(name)}: {difference}")
    return comparison


def expires(record: NamespaceRecord) -> bool:
    """Whether documents of the namespace expire: by a TTL index, or by the collection's own option."""
    return _EXPIRY in record.options or any(_EXPIRY in index for index in record.indexes)


def _document_difference(record: NamespaceRecord, digest: DocumentDigest, *, exact: bool) -> str | None:
    if digest.documents < record.documents or (exact and digest.documents != record.documents):
        return f"{digest.documents} documents instead of {record.documents}"
    if exact and digest.hexdigest() != record.digest:
        return f"digest {digest.hexdigest()} instead of {record.digest} over {record.documents} documents"
    return None


def compare_catalog(subject: Subject, *, same_version: bool) -> list[str]:
    """Compare type, options, indexes and, where they were kept, UUIDs; return the differences.

    :param same_version: between versions of MongoDB the servers describe options and indexes in other words: then only
        names of indexes count.
    """
    selection = Selection(role=ComponentRole.SHARD, exclude=("admin.system.*",))
    entries = {
        (entry.db, entry.collection): entry
        for entry in read_catalog(subject.client, selection=selection, host=subject.host)
    }
    found = []
    for record, name in subject.selected():
        where = f"{subject.name} {'.'.join(name)}"
        if (entry := entries.get(name)) is None:
            found.append(f"{where}: it is not there")
        else:
            problems = _catalog_differences(record, entry, exact=same_version and not subject.merged)
            found += [f"{where}: {problem}" for problem in problems]
            if subject.uuids and not subject.merged and record.uuid != entry.uuid:
                found.append(f"{where}: UUID {entry.uuid} instead of {record.uuid}")
    return found


def _catalog_differences(record: NamespaceRecord, entry: CatalogEntry, *, exact: bool) -> Iterator[str]:
    if entry.type != record.type:
        yield f"it is a {entry.type} instead of a {record.type}"
        return
    options = extended_json(entry.options)
    if exact and options != record.options:
        yield f"options {_text(options)} instead of {_text(record.options)}"
    there = {index["name"]: index for index in map(extended_json, entry.indexes)}
    wanted = {index["name"]: index for index in record.indexes}
    if missing := sorted(wanted.keys() - there.keys()):
        yield f"without the indexes {', '.join(missing)}"
    if exact and (extra := sorted(there.keys() - wanted.keys())):
        yield f"with the further indexes {', '.join(extra)}"
    for name in sorted(there.keys() & wanted.keys()):
        if exact and not _same_index(there[name], wanted[name]):
            yield f"index {name} is {_text(there[name])} instead of {_text(wanted[name])}"


def _same_index(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """The order of fields counts in the key alone; old servers list a namespace with each index."""
    return list(there["key"].items()) == list(wanted["key"].items()) and {
        name: value for name, value in there.items() if name != "ns"
    } == {name: value for name, value in wanted.items() if name != "ns"}


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:300]


def compare_routing(
    *, config: Client, host: str, shards: Mapping[str, tuple[Client, str]], namespaces: Mapping[str, str]
) -> tuple[int, list[str]]:
    """See that routing and shards agree on the UUID of every restored sharded collection.

    :param shards: each shard's client and address.
    :param namespaces: the sharded collections with the UUID they had in the backup.
    :returns: how many agree, and the differences.
    """
    with mongo_errors("reading routing", host):
        routed = {
            document["_id"]: bytes(document["uuid"]).hex()
            for document in config.config.collections.find({"_id": {"$in": list(namespaces)}})
        }
        owners = {
            namespace: set(config.config.chunks.distinct("shard", {"uuid": _binary(uuid)}))
            for namespace, uuid in namespaces.items()
        }
    differences = []
    agreeing = 0
    for namespace, uuid in namespaces.items():
        problems = [] if routed.get(namespace) == uuid else [f"routing has {routed.get(namespace)} instead of {uuid}"]
        if not owners[namespace]:
            problems.append("no chunk is routed")
        for shard, (client, address) in shards.items():
            problems += _uuid_on_shard(client, address, shard, namespace, uuid, needed=shard in owners[namespace])
        differences += [f"{namespace}: {problem}" for problem in problems]
        agreeing += int(not problems)
    return agreeing, differences


def _uuid_on_shard(client: Client, host: str, shard: str, namespace: str, uuid: str, *, needed: bool) -> Iterator[str]:
    db, _, collection = namespace.partition(".")
    with mongo_errors(f"looking up {namespace}", host):
        found = list(client[db].list_collections(filter={"name": collection}))
    if not found:
        if needed:
            yield f"shard {shard} owns chunks and has no such collection"
    elif (there := bytes(found[0]["info"]["uuid"]).hex()) != uuid:
        yield f"shard {shard} has UUID {there} instead of {uuid}"


def _binary(uuid: str) -> Any:
    return Binary(bytes.fromhex(uuid), UuidRepresentation.STANDARD)
