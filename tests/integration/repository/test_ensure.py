"""Opening a repository: it is made only when it is truly absent, and each trouble has its own clear error."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest
from tests.integration.repository.conftest import PASSWORD, objects, s3_credential, s3_spec

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError, ConflictError, PermanentError, TransientError
from mongo_backup.objects.storage import LocalStore, StoreSpec
from mongo_backup.objects.storage import S3Store as S3StoreSpec
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository
from sandbox.ports import lease_port
from sandbox.s3 import S3Store
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


def opened(
    store: StoreSpec, credential: Credential | None = None, *, password: str = PASSWORD, name: str
) -> Repository:
    return Repository(store=store, credential=credential, password=password, name=name, host="shop")


def test_made_once_then_opened(repository: Repository) -> None:
    again = repository.ensure()
    assert not again.created
    assert again.version == 2
    assert repository.exists()
    assert repository.locks() == ()


def test_version(repository: Repository) -> None:
    assert repository.version.split(".")[0].isdigit()


def test_wrong_password_makes_nothing(repository: Repository, request: pytest.FixtureRequest) -> None:
    s3 = request.getfixturevalue("s3_store") if repository.location.startswith("s3:") else None
    keys = objects(repository, "keys", s3)
    store = s3_spec(s3) if s3 else request.getfixturevalue("local_spec")
    name = repository.location.rpartition("/")[2]
    wrong = "another-p@ss"
    with (
        opened(store, s3_credential(s3) if s3 else None, password=wrong, name=name) as other,
        pytest.raises(ConfigurationError, match="password is wrong") as caught,
    ):
        other.ensure()
    assert wrong not in str(caught.value)
    assert objects(repository, "keys", s3) == keys


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_a_missing_bucket_is_never_made(s3_store: S3Store, region: str | None) -> None:
    spec = s3_spec(s3_store, bucket="no-such-bucket", region=region)
    with (
        opened(spec, s3_credential(s3_store), name="x") as repository,
        pytest.raises(ConfigurationError, match="bucket or container does not exist"),
    ):
        repository.ensure()
    assert "no-such-bucket" not in {each["Name"] for each in s3_store.client().list_buckets()["Buckets"]}


@pytest.mark.parametrize("login", ["SANDBOXACCESSKEY0001", "UNKNOWNKEY0000000002"], ids=["secret", "key"])
def test_a_refused_credential(s3_store: S3Store, login: str) -> None:
    credential = Credential.model_validate({"username": login, "password": "wrong/secret+key"})
    with (
        opened(s3_spec(s3_store), credential, name="x") as repository,
        pytest.raises(ConfigurationError, match="denies access") as caught,
    ):
        repository.ensure()
    assert "wrong/secret+key" not in str(caught.value)


def test_a_store_that_is_away() -> None:
    with lease_port() as port:
        gone = s3_spec_at(f"http://{port.address}")
        credential = Credential.model_validate({"username": "a-key", "password": "a-secret"})
        with opened(gone, credential, name="x") as repository, pytest.raises(TransientError, match="cannot be reached"):
            repository.ensure()


def s3_spec_at(endpoint: str) -> StoreSpec:
    return S3StoreSpec(provider="s3", bucket="backups", endpoint=endpoint, path_style=True, region="us-east-1")


def test_a_store_that_answers_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = s3_spec_at(f"http://127.0.0.1:{listener.getsockname()[1]}")
        credential = Credential.model_validate({"username": "a-key", "password": "a-secret"})
        with (
            opened(silent, credential, name="x") as repository,
            pytest.raises(TransientError, match="does not answer"),
        ):
            repository.ensure(timeout=2)


def test_a_local_store_that_is_not_mounted(tmp_path: Path) -> None:
    missing = LocalStore(provider="local", path=str(tmp_path / "volume"))
    with opened(missing, name="x") as repository, pytest.raises(ConfigurationError, match="mount the volume"):
        repository.ensure()
    assert not (tmp_path / "volume").exists()


def test_a_repository_without_its_config_is_damaged_not_absent(tmp_path: Path) -> None:
    remains = tmp_path / "x" / "data"
    remains.mkdir(parents=True)
    store = LocalStore(provider="local", path=str(tmp_path))
    with opened(store, name="x") as repository, pytest.raises(PermanentError, match="damaged repository"):
        repository.ensure()
    assert list((tmp_path / "x").iterdir()) == [remains]


def test_a_living_lock_is_respected_a_stale_one_removed(local_spec: LocalStore) -> None:
    with opened(local_spec, name="locked") as repository:
        repository.ensure()
        locks = Path(repository.location, "locks")
        with BackupSink(repository, Label(set_id="s", component="a", part="archive"), "a") as sink:
            sink.write(b"first")
            first = sink.finish().snapshot_id
        with BackupSink(repository, Label(set_id="s", component="b", part="archive"), "b") as sink:
            wait_until(lambda: list(locks.iterdir()), what="restic holds its lock")
            with pytest.raises(ConflictError, match="holds a lock"):
                repository.forget([first], wait_seconds=0)
            assert repository.ensure().created is False  # opening shares the lock
            (restic,) = psutil.Process(sink.guard_pid).children()
            restic.kill()
            with pytest.raises(TransientError):
                sink.finish()
        assert list(locks.iterdir())
        repository.forget([first], wait_seconds=10)
        assert repository.snapshots() == ()
        assert list(locks.iterdir()) == []
