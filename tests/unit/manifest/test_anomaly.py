"""What is suspicious beside the sets before it, and what is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mongo_backup.manifest.anomaly import figures_of, judged
from mongo_backup.manifest.model import ComponentRecord, Manifest, NamespaceRecord
from mongo_backup.manifest.store import decode_manifest
from mongo_backup.objects.anomaly import AnomalySettings
from mongo_backup.topology.model import ChosenMember

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = AnomalySettings()


def a_set(number: int = 0, *, factor: int = 100, **documents: int) -> Manifest:
    """A set of one component; `orders=5` is the namespace `shop.orders` with five documents."""
    records = tuple(NamespaceRecord(db="shop", collection=name, documents=n) for name, n in documents.items())
    member = ChosenMember.model_validate(
        {"component": "rs0", "role": "replica_set", "host": "h:1", "state": "SECONDARY", "mode": "lock"}
    )
    total = sum(documents.values())
    component = ComponentRecord(
        name="rs0",
        role=member.role,
        member=member,
        engine="native",
        consistency="locked",
        archive_id="a",
        archive_file="/rs0.archive",
        documents=total,
        bytes=total * factor,
        bytes_added=0,
        seconds=1,
        read_seconds=1,
        namespaces=records,
    )
    return Manifest(
        set_id=f"s{number}",
        configuration="shop",
        session="nightly",
        started=NOW,
        finished=NOW,
        topology="replica_set",
        server_version="6.0.5",
        consistency="locked",
        components=(component,),
        core_version="1",
        restic_version="1",
    )


def chain(*sets: Manifest, settings: AnomalySettings = SETTINGS) -> Manifest:
    """The last of these sets, each committed after the one before."""
    before = None
    for each in sets:
        before = judged(each, before, settings)
    assert before is not None
    return before


def usual(count: int) -> list[Manifest]:
    return [a_set(n, orders=1000 + n, events=500, users=20, logs=10) for n in range(count)]


def test_sets_like_those_before_are_not_suspicious() -> None:
    last = chain(*usual(14))
    assert last.suspicious == ()
    assert [each.set_id for each in last.history] == [f"s{n}" for n in range(3, 13)]
    assert last.history[-1] == figures_of(usual(14)[12])


@pytest.mark.parametrize(
    ("documents", "words"),
    [
        ({"orders": 300, "events": 300, "users": 20, "logs": 10}, "630 documents; the median of the 5 sets before is"),
        ({"orders": 9000, "events": 500, "users": 20, "logs": 10}, "9530 documents"),
        ({"orders": 1400, "users": 20, "logs": 10}, r"gone or empty since set s4: shop.events (500 documents)"),
        ({"orders": 1400, "events": 0, "users": 20, "logs": 10}, "shop.events (500 documents)"),
        ({"orders": 1000, "events": 500, "users": 20}, "shop.logs (10 documents)"),  # a quarter of the namespaces
    ],
)
def test_what_differs_wildly_is(documents: dict[str, int], words: str) -> None:
    reasons = chain(*usual(5), a_set(9, **documents)).suspicious
    assert reasons
    assert any(words in reason for reason in reasons), reasons


def test_bytes_alone() -> None:
    [reason] = chain(*usual(5), a_set(9, factor=5000, orders=1000, events=500, users=20, logs=10)).suspicious
    assert "bytes" in reason


def test_few_predecessors_or_another_selection_or_switched_off_is_no_judgement() -> None:
    nothing = a_set(9, orders=1)
    assert chain(*usual(2), nothing).suspicious == ()
    assert chain(*usual(3), nothing).suspicious != ()
    assert chain(*usual(5), nothing.model_copy(update={"exclude": ("shop.events",)})).suspicious == ()
    off = AnomalySettings(enabled=False)
    last = chain(*usual(5), nothing, settings=off)
    assert (last.suspicious, len(last.history)) == ((), 5)


def test_what_always_changes_much_may() -> None:
    wild = [a_set(n, orders=documents) for n, documents in enumerate((100, 900, 200, 1500, 100, 1200, 300))]
    assert chain(*wild, a_set(9, orders=1900)).suspicious == ()


def test_a_new_size_becomes_usual() -> None:
    smaller = [a_set(20 + n, orders=300, events=300, users=20, logs=10) for n in range(8)]
    assert chain(*usual(5), *smaller[:1]).suspicious
    assert chain(*usual(5), *smaller).suspicious == ()


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=15), st.integers(0, 10**12))
def test_any_sizes_are_judged_without_failing(sizes: list[int], last: int) -> None:
    found = chain(*[a_set(n, orders=size) for n, size in enumerate(sizes)], a_set(99, orders=last))
    assert len(found.history) == min(len(sizes), SETTINGS.predecessors)
    if last in sizes and len(set(sizes)) == 1:
        assert found.suspicious == ()


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    written: dict[str, Any] = chain(*usual(4)).model_dump(mode="json")
    written["later"] = {"a": 1}
    written["components"][0]["namespaces"][0]["later"] = True
    assert decode_manifest(json.dumps(written).encode(), "s3") == chain(*usual(4))


def test_settings_by_which_nothing_could_ever_be_suspicious() -> None:
    with pytest.raises(ValidationError, match="lower `at_least`"):
        AnomalySettings(predecessors=2)
