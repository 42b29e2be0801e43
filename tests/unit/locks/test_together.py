"""One thing on all members at the same time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from mongo_backup.agent.lifetime import raise_on_signals
from mongo_backup.errors import SignalError
from mongo_backup.locks.together import on_all


@pytest.fixture
def handlers() -> Iterator[None]:
    former = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    raise_on_signals()
    yield
    for each, handler in former.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("handlers")
def test_a_signal_goes_on_when_all_threads_are_through() -> None:
    """An undo that ran beside them would look at a member before it is locked, and forget it."""
    begun, asked, told = threading.Barrier(3), threading.Event(), []

    def act(number: int) -> None:
        begun.wait(10)
        asked.wait(10)
        told.append(number)

    def strike() -> None:
        begun.wait(10)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=strike, daemon=True).start()
    with pytest.raises(SignalError):
        on_all([1, 2], act, give_up=asked.set)
    assert sorted(told) == [1, 2]


def test_a_real_error_comes_before_those_that_it_caused() -> None:
    barrier = threading.Barrier(2)

    def act(number: int) -> None:
        if number == 2:
            barrier.abort()
            raise ValueError("the cause")
        barrier.wait(10)

    with pytest.raises(ValueError, match="the cause"):
        on_all([1, 2], act)
    assert on_all([], time.sleep) == []
