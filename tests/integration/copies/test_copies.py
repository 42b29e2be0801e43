"""Sets in further repositories: whole or not at all, once, and by their own policy. Real restic, real stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
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
)

from mongo_backup.copies.run import copy_sets, look
from mongo_backup.credentials import Credential
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.store import read_manifest
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.repository.restic import Repository
from mongo_backup.retention.marks import add_mark
from sandbox.s3 import AccessKey, S3Store

pytestmark = pytest.mark.integration

OURS, THEIRS = " p@ss:/%?#& 'word\"ü ", "another one"
OFFSITE_KEY = AccessKey("OFFSITEACCESSKEY0002", "another/secret+key=987")
TIMEOUT = 120.0


@pytest.fixture(scope="module")
def offsite() -> Iterator[S3Store]:
    with S3Store(key=OFFSITE_KEY) as store:
        yield store


@pytest.fixture(scope="module")
def first() -> dict[str, bytes]:
    return {name: data(name) for name in COMPONENTS}


@pytest.fixture(scope="module")
def second(first: dict[str, bytes]) -> dict[str, bytes]:
    """Much the same a day later."""
    return {name: content + data(f"new {name}", 20_000) for name, content in first.items()}


@pytest.fixture(params=["folder to S3, one key", "S3 to S3, one key", "S3 to S3, two keys"])
def pair(request: pytest.FixtureRequest, tmp_path: Path, s3_store: S3Store) -> Iterator[tuple[Repository, Repository]]:
    """A source with nothing in it, and a copy that is not made yet."""
    here, _, there = str(request.param).partition(" to ")
    name = str(request.param).replace(" ", "-").replace(",", "")
    places: dict[str, tuple[StoreSpec, Credential | None]] = {
        "folder": (local(tmp_path), None),
        "S3": (s3(s3_store, prefix="source"), credential(s3_store)),
        "S3, one key": (s3(s3_store, prefix="copies", storage_class="STANDARD"), credential(s3_store)),
    }
    if there == "S3, two keys":
        other: S3Store = request.getfixturevalue("offsite")
        places[there] = (s3(other, prefix="copies"), credential(other))
    source, target = places[here], places[there]
    with ExitStack() as stack:
        made = stack.enter_context(repository(*source, name=name, password=OURS))
        made.ensure()
        yield made, stack.enter_context(repository(*target, name=f"{name}-copy", password=THEIRS))


def test_sets_are_whole_in_the_copy_and_come_once(
    pair: tuple[Repository, Repository], first: dict[str, bytes], second: dict[str, bytes]
) -> None:
    source, copy = pair
    save_set(source, "one", day(1), first)
    save_set(source, "two", day(2), second)
    done = copy_sets(source, copy, None, session=SESSION, timeout=TIMEOUT)

    assert (done.copied, done.sets, done.newest_set, done.newest_time) == (("two", "one"), 2, "two", day(2))
    assert contents(copy, "one") == first
    entry = SetCatalog.read(copy).find("two")
    told, original = read_manifest(copy, entry), read_manifest(source, SetCatalog.read(source).find("two"))
    assert {each.archive_id for each in told.components}.isdisjoint(each.archive_id for each in original.components)
    assert told.copied is not None
    assert (told.copied.repository, entry.session, entry.time) == (source.location, SESSION, day(2))
    stored = copy.stats().total_size
    if copy.cannot_join(source) is None:
        assert abs(stored - source.stats().total_size) < 50_000, "what both sets share is stored once, as in the source"
    copy.check(read_data_subset="1/1")

    assert copy_sets(source, copy, None, session=SESSION, timeout=TIMEOUT).copied == ()
    assert len(copy.snapshots()) == 2 * (len(COMPONENTS) + 1)
    assert copy.stats().total_size == stored
    for secret in (OURS, THEIRS, OFFSITE_KEY.secret_key):
        assert secret not in told.model_dump_json()


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[Repository, Repository]]:
    with (
        repository(local(tmp_path), name="source", password=OURS) as source,
        repository(local(tmp_path), name="copy", password=THEIRS) as copy,
    ):
        source.ensure()
        yield source, copy


def test_the_copy_keeps_what_its_own_policy_says(folders: tuple[Repository, Repository]) -> None:
    source, copy = folders
    small = {"shard0": b"x" * 1000}
    for number in (1, 2, 3):
        save_set(source, f"day{number}", day(number), small)
    policy = RetentionSpec(last=2)

    assert copy_sets(source, copy, policy, session=SESSION, timeout=TIMEOUT).copied == ("day3", "day2")
    assert look(source, copy, policy, session=SESSION).passed_over == ("day1",)
    add_mark(copy, SetCatalog.read(copy).find("day2"), "pinned")
    for number in (4, 5):
        save_set(source, f"day{number}", day(number), small)
    source.forget([each.id for each in source.snapshots(tags=("set=day3",))])

    done = copy_sets(source, copy, policy, session=SESSION, timeout=TIMEOUT)

    assert (done.copied, done.forgotten, done.refused) == (("day5", "day4"), ("day3",), ())
    assert sets(copy) == ["day2", "day4", "day5"], "what is pinned in the copy stays"
    assert "pinned" not in str(SetCatalog.read(source).find("day2").marks)


def test_half_a_set_is_none_and_heals(folders: tuple[Repository, Repository], first: dict[str, bytes]) -> None:
    source, copy = folders
    manifest = save_set(source, "one", day(1), first)
    gone = save_set(source, "gone", day(2), {"shard0": b"y" * 1000})
    copy.ensure(like=source)
    for archive in (manifest.components[0].archive_id, gone.components[0].archive_id):  # as a kill would leave it
        copy.copy_from(source, [archive], timeout=TIMEOUT)
    source.forget([each.id for each in source.snapshots(tags=("set=gone",))])
    assert sets(copy) == []
    [begun] = copy.snapshots(tags=("set=one",))

    copy_sets(source, copy, None, session=SESSION, timeout=TIMEOUT)

    assert sets(copy) == ["one"]
    assert contents(copy, "one") == first
    assert begun.id in {each.id for each in copy.snapshots(tags=("set=one",))}, "what was there came once"
    assert not copy.snapshots(tags=("set=gone",)), "remains of what the source has no more are gone"

    copy.forget([begun.id])  # somebody forgets a part by hand: it has a manifest, and is none
    assert look(source, copy, None, session=SESSION).broken == ("one",)
    assert copy_sets(source, copy, None, session=SESSION, timeout=TIMEOUT).copied == ("one",)
    assert contents(copy, "one") == first
    assert len(copy.snapshots()) == len(COMPONENTS) + 1
