"""Sets in further repositories: whole or not at all, once, and by their own policy. Real restic, real stores."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.copies.support import (
    COMPONENTS,
    SESSION,
    contents,
    credential,
    data,
    day,
    local,
    repository,
    s3,
    save_set,
    sets,
    upload,
)

from mongo_backup.copies.plan import plan_copy
from mongo_backup.copies.run import copy_sets
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.store import read_manifest
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.restic import Repository
from mongo_backup.retention.marks import add_mark
from sandbox.s3 import AccessKey, S3Store

pytestmark = pytest.mark.integration

OURS, THEIRS = " p@ss:/%?#& 'word\"ü ", "another one"
OFFSITE_KEY = AccessKey("OFFSITEACCESSKEY0002", "another/secret+key=987")
TIMEOUT = 120.0
ARCHIVES = {name: data(name) for name in COMPONENTS}
GROWN = {name: content + data(f"new {name}", 20_000) for name, content in ARCHIVES.items()}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository of three sets; made once, since each call of restic takes half a second."""
    folder = tmp_path_factory.mktemp("original")
    with repository(local(folder), password=OURS) as made:
        made.ensure()
        save_set(made, "day1", day(1), {"shard0": b"x" * 1000})
        save_set(made, "day2", day(2), ARCHIVES)
        save_set(made, "day3", day(3), GROWN)
    return folder


@pytest.fixture
def source(original: Path, tmp_path: Path) -> Iterator[Repository]:
    folder = tmp_path / "source"
    shutil.copytree(original, folder)
    with repository(local(folder), password=OURS) as made:
        yield made


def test_between_stores_with_different_keys(original: Path, s3_store: S3Store) -> None:
    """restic takes one AWS key: what another one reads is written anew."""
    upload(original / "shop", s3_store, "two-keys/shop")
    with (
        S3Store(key=OFFSITE_KEY) as offsite,
        repository(s3(s3_store, prefix="two-keys"), credential(s3_store), password=OURS) as source,
        repository(s3(offsite), credential(offsite), password=THEIRS) as copy,
    ):
        assert "credentials of their own" in str(copy.cannot_join(source))
        done = copy_sets(source, copy, RetentionSpec(last=1), session=SESSION, timeout=TIMEOUT)
        assert (done.copied, done.sets, done.newest_set, done.newest_time) == (("day3",), 1, "day3", day(3))
        assert contents(copy, "day3") == GROWN
        again = copy_sets(source, copy, RetentionSpec(last=1), session=SESSION, timeout=TIMEOUT)
        assert (again.copied, again.sets) == ((), 1)
        assert len(copy.snapshots()) == len(COMPONENTS) + 1


def test_between_stores_with_one_key(original: Path, s3_store: S3Store) -> None:
    """One restic sees both: only what the copy does not have comes, and it is cut into the same pieces."""
    upload(original / "shop", s3_store, "one-key/shop")
    key = credential(s3_store)
    with (
        repository(s3(s3_store, prefix="one-key"), key, password=OURS) as source,
        repository(s3(s3_store, prefix="copies", storage_class="STANDARD"), key, password=THEIRS) as copy,
    ):
        assert copy.cannot_join(source) is None
        done = copy_sets(source, copy, RetentionSpec(last=1), session=SESSION, timeout=TIMEOUT)
        assert done.copied == ("day3",)
        trees = {each.origin: each.tree for each in copy.snapshots(tags=("part=archive",))}
        assert trees == {each.id: each.tree for each in source.snapshots(tags=("set=day3", "part=archive"))}


@pytest.mark.long
def test_a_copy_heals_and_keeps_what_its_own_policy_says(source: Repository, tmp_path: Path) -> None:
    listed = {(each.tag("set"), each.tag("component")): each for each in source.snapshots(tags=("part=archive",))}
    with repository(local(tmp_path), name="copy", password=THEIRS) as copy:
        # As a kill leaves it: some archives of a set that is still wanted, and of one that is not.
        copy.ensure(like=source)
        copy.copy_from(source, [listed["day3", "config"].id, listed["day1", "shard0"].id], timeout=TIMEOUT)
        begun = {each.origin: each.id for each in copy.snapshots()}
        assert sets(copy) == []

        policy = RetentionSpec(last=2)
        done = copy_sets(source, copy, policy, session=SESSION, timeout=TIMEOUT)

        assert (done.copied, done.sets, done.newest_time) == (("day3", "day2"), 2, day(3))
        assert contents(copy, "day3") == GROWN
        catalog = SetCatalog.read(copy)
        told = read_manifest(copy, catalog.find("day3"))
        assert told.component("config").archive_id == begun[listed["day3", "config"].id], "what was there came once"
        assert catalog.incomplete() == (), "remains that nobody wants are gone"
        assert (told.copied.repository if told.copied else None) == source.location
        assert catalog.find("day3").time == day(3)
        assert copy.stats().total_size < source.stats().total_size + 50_000, "what sets share is stored once"

        # A set is added, one is pinned in the copy, and somebody forgets a part of it there by hand.
        save_set(source, "day4", day(4), {"shard0": b"y" * 1000})
        add_mark(copy, catalog.find("day2"), "pinned")
        copy.forget([each.id for each in copy.snapshots(tags=("set=day2", "component=shard0"))])
        assert plan_copy(source.snapshots(), copy.snapshots(), policy, session=SESSION).broken == ("day2",)

        done = copy_sets(source, copy, RetentionSpec(last=1), session=SESSION, timeout=TIMEOUT)

        assert (done.copied, done.forgotten, done.refused) == (("day4", "day2"), ("day3",), ())
        assert sets(copy) == ["day2", "day4"], "what is pinned in the copy stays"
        assert contents(copy, "day2") == ARCHIVES
        copy.check(read_data_subset="1/1")
    assert SetCatalog.read(source).find("day2").marks == (), "a mark belongs to the repository that it is in"
