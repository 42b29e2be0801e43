"""Every store does what the product asks of it, survives faults in between, and says what is wrong in one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from typing import cast

import pytest
from tests.integration.stores.places import MISSING, Place, place

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import read_file
from mongo_backup.repository.restic import Repository
from sandbox.s3 import S3Store

pytestmark = pytest.mark.integration

PASSWORD = "p@ss:/%?#& 'word\"ü"
MIB = 1 << 20


@pytest.fixture(scope="module", params=os.environ.get("MONGO_BACKUP_TEST_STORES", "local,s3,gcs,azure").split(","))
def there(request: pytest.FixtureRequest) -> Iterator[Place]:
    with (
        place(request.param, lambda: cast(S3Store, request.getfixturevalue("s3_store"))) as found,
        pytest.MonkeyPatch.context() as patch,
    ):
        if found.proxy:
            patch.setenv("https_proxy", found.proxy)
        yield found


def opened(store: StoreSpec, credential: Credential | None, *, password: str = PASSWORD) -> Repository:
    return Repository(store=store, credential=credential, password=password, name="contract", host="shop")


@pytest.fixture(scope="module")
def repository(there: Place) -> Iterator[Repository]:
    transfer = {"upload_limit": "200MiB", "download_limit": "200MiB", "max_connections": 4, "compression": "max"}
    with opened(there.store(transfer={**transfer, "pack_size": "8MiB"}), there.credential_of(there.credential)) as made:
        assert made.ensure().created
        yield made


def save(repository: Repository, data: bytes, component: str = "shard0") -> str:
    label = Label(set_id="one", component=component, part="archive", session="nightly")
    with BackupSink(repository, label, f"{component}.archive") as sink:
        sink.write(data)
        return sink.finish().snapshot_id


def test_a_set_goes_in_comes_out_and_leaves(repository: Repository) -> None:
    data = Random(1).randbytes(3 * MIB)
    first, second = save(repository, data), save(repository, data[:MIB], "config")
    assert not repository.ensure().created
    assert read_file(repository, first, "/shard0.archive") == data
    assert {each.id for each in repository.snapshots(tags=("set=one",))} == {first, second}
    repository.forget([second])
    assert [each.id for each in repository.snapshots()] == [first]
    repository.prune()
    repository.check(read_data_subset="1/1")
    assert read_file(repository, first, "/shard0.archive") == data
    assert repository.locks() == ()
    repository.forget([first])


def test_a_wrong_password(repository: Repository, there: Place) -> None:
    with (
        opened(there.store(), there.credential_of(there.credential), password="another-one") as other,
        pytest.raises(ConfigurationError, match="password is wrong") as caught,
    ):
        other.ensure()
    assert "another-one" not in str(caught.value)


def test_faults_on_the_wire_are_survived(repository: Repository, there: Place) -> None:
    if there.wire is None:
        return  # no network, or one whose own protocol tries nothing again
    before = there.wire.troubled
    there.wire.trouble(1)
    data = os.urandom(2 * MIB)
    first = save(repository, data, "troubled")
    there.wire.trouble(1, cut_after=100_000)
    second = save(repository, os.urandom(2 * MIB), "cut")
    assert there.wire.troubled > before
    assert read_file(repository, first, "/troubled.archive") == data
    repository.forget([first, second])


def test_each_mistake_is_one_clear_line(there: Place) -> None:
    for what, (changes, credential, kind, words) in there.mistakes.items():
        with (
            opened(there.store(**changes), there.credential_of(credential or there.credential)) as wrong,
            pytest.raises(kind) as caught,
        ):
            wrong.ensure(timeout=6)
        message = str(caught.value)
        assert words in message, what
        assert "\n" not in message, what
        assert PASSWORD not in message, what
    assert there.untouched(MISSING)
