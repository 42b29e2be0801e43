"""A sharded cluster with data, an S3 store, and the objects of a configuration for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mongo_backup.credentials import Credentials
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from sandbox import objects
from sandbox.cluster import ShardedCluster
from sandbox.deployment import Deployment
from sandbox.s3 import S3Store
from sandbox.seed import seed

ObjectsFor = Callable[..., Objects]


@pytest.fixture(scope="package")
def shop() -> Iterator[ShardedCluster]:
    """A sharded cluster with the seeded data."""
    with ShardedCluster() as cluster:
        seed(cluster, documents=3000)
        yield cluster


@pytest.fixture
def objects_for(s3_store: S3Store, tmp_path: Path) -> ObjectsFor:
    """Make the objects of one configuration: deployment, session, and a repository of the test's own."""

    def make(deployment: Deployment, *, session: dict[str, Any] | None = None, **spec: Any) -> Objects:
        storage = objects.s3_storage(s3_store, prefix=tmp_path.name)
        folder = tmp_path / "objects"
        objects.write_objects(folder, deployment.app_binding(), storage, objects.configuration(session=session, **spec))
        found = load_directory(folder)
        assert not found.errors, found.error_text()
        return found.resolve("shop", "manual")

    return make


@pytest.fixture
def credentials_for(s3_store: S3Store) -> Callable[[Deployment], Credentials]:
    """All credentials of a deployment and the store."""
    return lambda deployment: objects.credentials(deployment, s3_store)
