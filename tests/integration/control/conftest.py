from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.control.support import connect, release_everything

from mongo_backup.connection import Connector
from sandbox.cluster import ShardedCluster
from sandbox.replica_set import ReplicaSet


@pytest.fixture
def cluster(sharded_cluster: ShardedCluster) -> Iterator[Connector]:
    """A connector to the shared cluster; the journal is emptied at the end."""
    with connect(sharded_cluster) as connector:
        yield connector
        release_everything(connector)


@pytest.fixture
def single(replica_set: ReplicaSet) -> Iterator[Connector]:
    """A connector to the shared replica set; the journal is emptied at the end."""
    with connect(replica_set) as connector:
        yield connector
        release_everything(connector)
