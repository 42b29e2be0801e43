from __future__ import annotations

import pytest

from mongo_backup.errors import VerificationError
from sandbox.writers import ChainState


def chain(first: int, first_counter: int, second: int, second_counter: int) -> ChainState:
    return ChainState(
        first=list(range(1, first + 1)),
        first_counter=first_counter,
        second=list(range(1, second + 1)),
        second_counter=second_counter,
    )


@pytest.mark.parametrize(
    "state", [(0, 0, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0), (5, 5, 5, 4), (5, 5, 5, 5), (6, 5, 5, 5), (6, 6, 5, 5)]
)
def test_states_between_two_writes_are_whole(state: tuple[int, int, int, int]) -> None:
    chain(*state).check()


@pytest.mark.parametrize(
    "state",
    [
        (5, 5, 6, 6),  # the second shard was read later
        (7, 7, 5, 5),  # the first shard was read later
        (6, 5, 6, 5),
        (5, 6, 5, 5),
        (6, 6, 4, 5),
    ],
)
def test_other_states_are_broken(state: tuple[int, int, int, int]) -> None:
    with pytest.raises(VerificationError, match="no state of one cluster time"):
        chain(*state).check()


def test_a_gap_is_broken() -> None:
    with pytest.raises(VerificationError, match="first has gaps"):
        ChainState(first=[1, 3], first_counter=2, second=[1, 2], second_counter=2).check()
