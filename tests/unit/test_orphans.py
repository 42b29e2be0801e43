from __future__ import annotations

from typing import Any

import bson
import pytest
from bson import MaxKey, MinKey

from mongo_backup.catalog import CatalogEntry
from mongo_backup.errors import PermanentError
from mongo_backup.orphans import Chunk, bounds, merge, shard_key_index

LOW, HIGH = MinKey(), MaxKey()


def chunk(lower: Any, upper: Any) -> Chunk:
    return Chunk(lower={"k": lower}, upper={"k": upper})


def entry(*indexes: dict[str, Any]) -> CatalogEntry:
    return CatalogEntry(db="shop", collection="orders", indexes=tuple(map(bson.encode, indexes)))


def test_neighbours_become_one_range() -> None:
    found = merge([chunk(LOW, 1), chunk(1, 5), chunk(7, 8), chunk(8, HIGH)])
    assert found == [chunk(LOW, 5), chunk(7, HIGH)]
    assert merge([]) == []


def test_equal_numbers_of_other_types_are_not_taken_for_neighbours() -> None:
    assert len(merge([chunk(LOW, 5), chunk(5.0, HIGH)])) == 2


@pytest.mark.parametrize(
    ("pattern", "lower", "upper", "expected"),
    [
        ({"k": 1}, {"k": 5}, {"k": 9}, {"min": {"k": 5}, "max": {"k": 9}}),
        ({"k": 1}, {"k": LOW}, {"k": 9}, {"max": {"k": 9}}),
        ({"k": 1}, {"k": 5}, {"k": HIGH}, {"min": {"k": 5}}),
        ({"k": 1}, {"k": LOW}, {"k": HIGH}, {}),
        (
            {"a": 1, "b": 1},
            {"a": 5, "b": LOW},
            {"a": 5, "b": HIGH},
            {"min": {"a": 5, "b": LOW}, "max": {"a": 5, "b": HIGH}},
        ),
        ({"k": 1, "x": 1}, {"k": 5}, {"k": 9}, {"min": {"k": 5, "x": LOW}, "max": {"k": 9, "x": LOW}}),
        ({"k": 1, "x": -1.0}, {"k": 5}, {"k": 9}, {"min": {"k": 5, "x": HIGH}, "max": {"k": 9, "x": HIGH}}),
        ({"k": "hashed", "x": 1}, {"k": 5}, {"k": HIGH}, {"min": {"k": 5, "x": LOW}}),
    ],
)
def test_bounds_of_a_scan(
    pattern: dict[str, Any], lower: dict[str, Any], upper: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = bounds(Chunk(lower=lower, upper=upper), index={"name": "i", "key": pattern})
    assert found == {"hint": "i", "collation": {"locale": "simple"}, **expected}
    for name in expected:
        assert list(found[name]) == list(pattern)


def test_an_index_that_is_simple_in_words() -> None:
    index = {"name": "i", "key": {"k": 1}, "collation": {"locale": "simple"}}
    assert shard_key_index(entry(index), {"k": 1}) == index


def test_the_index_with_the_fewest_fields_is_taken() -> None:
    collection = entry(
        {"name": "long", "key": {"k": 1, "x": 1}},
        {"name": "short", "key": {"k": 1.0}},
        {"name": "_id_", "key": {"_id": 1}},
    )
    assert shard_key_index(collection, {"k": 1})["name"] == "short"


@pytest.mark.parametrize(
    "index",
    [
        {"name": "i", "key": {"x": 1, "k": 1}},
        {"name": "i", "key": {"k": -1}},
        {"name": "i", "key": {"k": "hashed"}},
        {"name": "i", "key": {"k": 1}, "sparse": True},
        {"name": "i", "key": {"k": 1}, "hidden": True},
        {"name": "i", "key": {"k": 1}, "partialFilterExpression": {"a": 1}},
        {"name": "i", "key": {"k": 1}, "collation": {"locale": "fr"}},
    ],
)
def test_an_index_that_misses_documents_or_their_order_is_not_taken(index: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match=r"shop\.orders .* no index that begins with the shard key k"):
        shard_key_index(entry(index), {"k": 1})
