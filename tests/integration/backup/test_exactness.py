"""A backup of a sharded cluster under load is one cluster time: of every set, and of every restore."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import bson
import pytest
from tests.integration.backup.conftest import ObjectsFor

from mongo_backup.agent.restore_contract import RestoreParameters
from mongo_backup.archive.reader import Block, read_archive
from mongo_backup.credentials import Credentials
from mongo_backup.digest import DocumentDigest
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import Manifest
from mongo_backup.manifest.store import read_manifest
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.resolved import Objects
from mongo_backup.repository.read import SnapshotReader
from mongo_backup.repository.restic import Repository
from sandbox.cluster import ShardedCluster
from sandbox.faults.judge import nothing_is_held
from sandbox.inline import InlineBackup
from sandbox.inline_restore import InlineRestore
from sandbox.writers import COUNTER, FIRST, SECOND, STEPS, ChainState, ChainWriter, LoadWriter, read_chain

BACKUPS = 3


def archived(repository: Repository, manifest: Manifest) -> ChainState:
    """The chain as the archives hold it; on the way each namespace's digest is compared with the manifest's."""
    values: dict[tuple[str, str], list[int]] = defaultdict(list)
    for component in manifest.components:
        digests: dict[str, DocumentDigest] = defaultdict(DocumentDigest)
        with SnapshotReader(repository, component.archive_id, component.archive_file) as source:
            for event in read_archive(source):
                if not isinstance(event, Block):
                    continue
                digests[f"{event.db}.{event.collection}"].add(event.documents)
                if event.db in (FIRST, SECOND):
                    field = "_id" if event.collection == STEPS else "n"
                    values[event.db, event.collection] += [bson.decode(each)[field] for each in event.documents]
        for record in component.namespaces:
            found = digests[record.namespace]
            assert (found.documents, found.hexdigest()) == (record.documents, record.digest), record.namespace
    return ChainState(
        first=sorted(values[FIRST, STEPS]),
        first_counter=values[FIRST, COUNTER][0],
        second=sorted(values[SECOND, STEPS]),
        second_counter=values[SECOND, COUNTER][0],
    )


def manifests(objects: Objects, credentials: Credentials, check: Callable[[Repository, Manifest], None]) -> None:
    """Call `check` for every complete set."""
    with Repository.of(
        configuration=objects.configuration, storage=objects.storage, credentials=credentials
    ) as repository:
        for entry in SetCatalog.read(repository).complete():
            check(repository, read_manifest(repository, entry))


@pytest.mark.parametrize("consistency", ["locked", "snapshot"])
def test_every_backup_under_load_is_one_cluster_time(
    shop: ShardedCluster,
    objects_for: ObjectsFor,
    credentials_for: Callable[[ShardedCluster], Credentials],
    consistency: str,
) -> None:
    objects = objects_for(shop, session={"consistency": consistency})
    credentials = credentials_for(shop)
    with ChainWriter(shop) as chain, LoadWriter(shop, pause=0.05):
        for _ in range(BACKUPS):
            chain.wait_for(20)
            committed = InlineBackup(objects=objects, credentials=credentials).run()
            assert committed.consistency is Consistency(consistency)
            assert committed.cluster_time is not None
    states: list[ChainState] = []

    def check(repository: Repository, manifest: Manifest) -> None:
        state = archived(repository, manifest)
        state.check()
        states.append(state)
        for component in manifest.components:
            assert (component.locked_seconds is not None) == (consistency == "locked"), component.name

    manifests(objects, credentials, check)
    assert len(states) == BACKUPS
    lengths = [len(state.first) for state in states]
    assert lengths == sorted(lengths)
    assert lengths[0] >= 20, "the backups were taken of a chain that nobody wrote"

    nothing_is_held(shop, objects, credentials)
    latest = InlineRestore(
        objects=objects, credentials=credentials, parameters=RestoreParameters(existing="drop", users="skip")
    )
    verified = latest.run()
    assert verified.digests > 0
    restored = read_chain(shop)
    restored.check()
    assert restored == states[-1]
