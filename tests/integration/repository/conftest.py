"""Repositories in both kinds of store, made once per module: a `restic init` takes seconds."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongo_backup.credentials import Credential
from mongo_backup.objects.storage import LocalStore
from mongo_backup.objects.storage import S3Store as S3StoreSpec
from mongo_backup.repository.restic import Repository
from sandbox.s3 import S3Store

PASSWORD = "p@ss:/%?#& 'word\"ü"


def s3_spec(store: S3Store, *, bucket: str = S3Store.DEFAULT_BUCKET, region: str | None = "us-east-1") -> S3StoreSpec:
    return S3StoreSpec(
        provider="s3", bucket=bucket, endpoint=store.endpoint, prefix="repositories", path_style=True, region=region
    )


def s3_credential(store: S3Store) -> Credential:
    return Credential.model_validate({"username": store.key.access_key, "password": store.key.secret_key})


def objects(repository: Repository, kind: str, store: S3Store | None) -> set[str]:
    """The names of the repository's `snapshots` or `locks` as they lie in the store: quicker than asking restic."""
    if store is None:
        return {path.name for path in Path(repository.location, kind).iterdir()}
    prefix = f"{repository.location.partition(S3Store.DEFAULT_BUCKET + '/')[2]}/{kind}/"
    listed = store.client().list_objects_v2(Bucket=S3Store.DEFAULT_BUCKET, Prefix=prefix).get("Contents", [])
    return {each["Key"].rpartition("/")[2] for each in listed}


@pytest.fixture(scope="module")
def local_spec() -> Iterator[LocalStore]:
    with tempfile.TemporaryDirectory(prefix="mongo-backup-test-") as folder:
        yield LocalStore(provider="local", path=folder, prefix="repositories")


@pytest.fixture(scope="module", params=["local", "s3"])
def repository(request: pytest.FixtureRequest, local_spec: LocalStore) -> Iterator[Repository]:
    """A repository that is there; named after the module, so that modules do not see each other's snapshots."""
    name = Path(request.node.name).stem.replace("_", "-")
    if request.param == "s3":
        store: S3Store = request.getfixturevalue("s3_store")
        made = Repository(
            store=s3_spec(store), credential=s3_credential(store), password=PASSWORD, name=name, host="shop"
        )
    else:
        made = Repository(store=local_spec, credential=None, password=PASSWORD, name=name, host="shop")
    with made:
        made.ensure()
        yield made
