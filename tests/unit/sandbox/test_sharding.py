from __future__ import annotations

import pytest
from bson import MaxKey, MinKey

from mongo_backup.errors import PermanentError
from sandbox.sharding import Chunk, hashed, owner

CHUNKS = [
    Chunk(low={"n": MinKey()}, high={"n": 10}, shard="a"),
    Chunk(low={"n": 10}, high={"n": 20}, shard="b"),
    Chunk(low={"n": 20}, high={"n": MaxKey()}, shard="c"),
]


@pytest.mark.parametrize(("value", "shard"), [(-5, "a"), (9, "a"), (10, "b"), (19, "b"), (20, "c"), (10**9, "c")])
def test_a_range_holds_its_lower_bound_and_not_its_upper_one(value: int, shard: str) -> None:
    assert owner(CHUNKS, "n", value) == shard


def test_a_hole_is_an_error() -> None:
    with pytest.raises(PermanentError, match="no chunk holds n=15"):
        owner([CHUNKS[0], CHUNKS[2]], "n", 15)


def test_a_number_is_hashed_as_mongod_6_0_does() -> None:
    # read from a hashed index of mongod 6.0.5 with `returnKey`
    assert hashed(214348) == -1946860443853080513
