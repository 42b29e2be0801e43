"""A set exists only if its manifest does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.repository.records import Snapshot

START = datetime(2024, 1, 1, tzinfo=UTC)


def snapshot(identity: str, set_id: str, part: str, minute: int, session: str = "nightly") -> Snapshot:
    return Snapshot(
        id=identity,
        time=START + timedelta(minutes=minute),
        tags=(f"set={set_id}", "component=x", f"part={part}", f"session={session}"),
    )


LISTING = [
    snapshot("m2", "two", "manifest", 20),
    snapshot("a2", "two", "archive", 19),
    snapshot("a1", "one", "archive", 1),
    snapshot("i1", "one", "inventory", 2),
    snapshot("m1", "one", "manifest", 3),
    snapshot("a3", "three", "archive", 30),
    snapshot("m4", "four", "manifest", 25, session="hourly"),
    Snapshot(id="foreign", time=START, tags=("by hand",)),
    Snapshot(id="untagged", time=START),
]


def test_complete_and_incomplete() -> None:
    catalog = SetCatalog(LISTING)
    assert [each.set_id for each in catalog.complete()] == ["one", "two", "four"]
    assert [each.set_id for each in catalog.complete("nightly")] == ["one", "two"]
    (remains,) = catalog.incomplete()
    assert (remains.set_id, remains.manifest_id, remains.part_ids) == ("three", None, ("a3",))
    one = catalog.find("one")
    assert (one.manifest_id, one.part_ids, one.time) == ("m1", ("i1", "a1"), START + timedelta(minutes=3))


def test_latest_is_the_newest_complete_set() -> None:
    assert SetCatalog(LISTING).find("latest").set_id == "four"
    assert SetCatalog(LISTING).find("latest", session="nightly").set_id == "two"


def test_what_cannot_be_found() -> None:
    catalog = SetCatalog(LISTING)
    with pytest.raises(PreconditionError, match="three is not complete"):
        catalog.find("three")
    with pytest.raises(PreconditionError, match="no set five; the newest complete ones are: four, two, one"):
        catalog.find("five")
    with pytest.raises(PreconditionError, match="no complete set"):
        SetCatalog([]).find()


def test_nobody_elses_snapshot_is_part_of_a_set() -> None:
    catalog = SetCatalog(LISTING)
    ids = {part for entry in (*catalog.complete(), *catalog.incomplete()) for part in entry.part_ids}
    assert ids == {"a1", "i1", "a2", "a3"}


def test_the_newest_verification_counts() -> None:
    def verification(identity: str, set_id: str, minute: int, result: str) -> Snapshot:
        found = snapshot(identity, set_id, "verification", minute)
        return found.model_copy(update={"tags": (*found.tags, f"result={result}")})

    judged = [
        verification("v1", "one", 40, "verified"),
        verification("v2", "two", 41, "verified"),
        verification("v3", "two", 42, "failed"),
        verification("v4", "three", 43, "verified"),
    ]
    catalog = SetCatalog([*LISTING, *judged])
    assert catalog.verified() == ("one",)  # "three" has no manifest
    assert catalog.verified("hourly") == ()
    found = catalog.find("two")
    assert (found.verdict, found.judged) == ("failed", START + timedelta(minutes=42))
    assert found.time == START + timedelta(minutes=20)
    assert {"v2", "v3"} <= set(found.part_ids)
    assert SetCatalog(LISTING).find("two").verdict is None
    assert catalog.unverified() == 1  # "four"; "two" failed, so it was looked at
    assert catalog.unverified("hourly") == SetCatalog(LISTING).unverified("hourly") == 1
    assert SetCatalog(LISTING).unverified() == 3
