"""Servers that tests share. Nothing starts before a test asks for it; everything is gone when the session ends.

A test that breaks or dirties a deployment makes its own: `with ReplicaSet(members=2) as deployment: ...`.
Tests that share one use databases of their own and put back what they change.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.cluster import ShardedCluster
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.s3 import S3Store
from sandbox.seed import Seeded, seed


@pytest.fixture(scope="session")
def sharded_cluster() -> Iterator[ShardedCluster]:
    """Config server and two shards of three members each, with authentication."""
    with ShardedCluster() as deployment:
        yield deployment


@pytest.fixture(scope="session")
def replica_set() -> Iterator[ReplicaSet]:
    """Three members, with authentication."""
    with ReplicaSet() as deployment:
        yield deployment


@pytest.fixture(scope="session")
def standalone() -> Iterator[Standalone]:
    """One server with authentication and without an oplog."""
    with Standalone() as deployment:
        yield deployment


@pytest.fixture(scope="session")
def s3_store() -> Iterator[S3Store]:
    """An S3 store with the bucket `S3Store.DEFAULT_BUCKET`."""
    with S3Store() as store:
        yield store


@pytest.fixture(scope="session")
def seeded_cluster(sharded_cluster: ShardedCluster) -> tuple[ShardedCluster, Seeded]:
    """The shared sharded cluster, filled once by `sandbox.seed`."""
    return sharded_cluster, seed(sharded_cluster, sharded_time_series=True)


@pytest.fixture(scope="session")
def seeded_replica_set(replica_set: ReplicaSet) -> tuple[ReplicaSet, Seeded]:
    """The shared replica set, filled once by `sandbox.seed`."""
    return replica_set, seed(replica_set)
