"""Dumps of shared deployments, read back."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from mongo_backup.archive.reader import Block, Prelude, read_archive
from mongo_backup.catalog import catalog_digest, read_catalog
from mongo_backup.engines import native
from mongo_backup.engines.base import ConfigServer, DumpJob
from mongo_backup.manifest.model import ClusterTime, NamespaceRecord
from mongo_backup.namespaces import Selection
from mongo_backup.topology.model import ComponentRole
from sandbox.cluster import CONFIG, ShardedCluster
from sandbox.deployment import Deployment

RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


@dataclass
class Dumped:
    """An archive in memory, with what the engine and the reader say of it."""

    records: tuple[NamespaceRecord, ...]
    archive: bytes
    read_complete: int
    """How often the end of the reading was told."""
    prelude: Prelude
    documents: dict[str, list[bytes]]

    def record(self, namespace: str) -> NamespaceRecord:
        return next(record for record in self.records if record.namespace == namespace)


def now(deployment: Deployment) -> ClusterTime:
    """Return a cluster time behind all that was written before; every member has it, every component is past it."""
    point = _note(deployment, None)
    _note(deployment, point)
    deployment.wait_for_replication()
    time = point["clusterTime"]
    return ClusterTime(t=time.time, i=time.inc)


def _note(deployment: Deployment, clock: Any) -> Any:
    for component in deployment.components:
        client = deployment.admin_client(component)
        with client.start_session() as session:
            if clock:
                session.advance_cluster_time(clock)
            client.admin.command("appendOplogNote", data={"test": 1}, session=session)
            clock = session.cluster_time
    return clock


def job(
    deployment: Deployment,
    component: str,
    *,
    host: str | None = None,
    include: tuple[str, ...] = (),
    expect_catalog: bool = False,
    **options: Any,
) -> DumpJob:
    """A dump of a secondary, by the backup user."""
    host = host or deployment.secondaries(component)[0]
    client = deployment.client(host=host, user="backup")
    role = ComponentRole.REPLICA_SET
    if isinstance(deployment, ShardedCluster):
        role = ComponentRole.CONFIG if component == CONFIG else ComponentRole.SHARD
        config = deployment.secondaries(CONFIG)[0]
        options.setdefault(
            "config_server", ConfigServer(client=deployment.client(host=config, user="backup"), host=config)
        )
    selection = Selection(role=role, include=include)
    if expect_catalog:
        options["expected_catalog"] = catalog_digest(read_catalog(client, selection=selection, host=host))
    return DumpJob(client=client, host=host, component=component, selection=selection, **options)


def run(each: DumpJob) -> Dumped:
    """Dump and read back."""
    told: list[int] = []
    archive = io.BytesIO()
    records = native.dump(each, write=archive.write, on_read_complete=lambda: told.append(1))  # type: ignore[arg-type]
    events = read_archive(io.BytesIO(archive.getvalue()))
    prelude = next(events)
    assert isinstance(prelude, Prelude)
    documents: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        assert not isinstance(event, Prelude)
        documents[f"{event.db}.{event.collection}"] += event.documents if isinstance(event, Block) else []
    return Dumped(records, archive.getvalue(), len(told), prelude, dict(documents))


def raw_documents(deployment: Deployment, component: str, namespace: str) -> list[bytes]:
    """Return what the primary holds now, sorted."""
    db, _, collection = namespace.partition(".")
    found = deployment.client(component=component)[db].get_collection(collection, codec_options=RAW).find()
    return sorted(bytes(document.raw) for document in found)


class Dumps:
    """The functions above, for tests."""

    now = staticmethod(now)
    job = staticmethod(job)
    run = staticmethod(run)
    raw_documents = staticmethod(raw_documents)


@pytest.fixture(scope="session")
def dumps() -> Dumps:
    return Dumps()
