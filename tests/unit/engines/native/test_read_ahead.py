from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from mongo_backup.engines.native.read_ahead import CancelledError, ReadAhead
from mongo_backup.engines.native.replies import Batch

SECONDS = 20


def batch(size: int, number: int = 0) -> Batch:
    return Batch(number, b"", 0, size)


def fill(ahead: ReadAhead, lane: int, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        ahead.put(lane, batch(size, number))
    ahead.close(lane)


def waits(future: Future[None]) -> bool:
    """Whether it does not end within a moment; it must later."""
    try:
        future.result(timeout=0.2)
    except TimeoutError:
        return True
    return False


def test_many_lanes_through_little_room_come_whole_and_in_order() -> None:
    ahead = ReadAhead(lanes=30, limit=100)
    sizes = [[(lane * 7 + number * 13) % 150 + 1 for number in range(lane % 5 * 4)] for lane in range(30)]
    tasks = iter(range(30))
    take = threading.Lock()

    def reader() -> None:
        while True:
            with take:
                lane = next(tasks, None)
            if lane is None:
                return
            fill(ahead, lane, sizes[lane])

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(reader) for _ in range(3)]
        for lane in range(30):
            assert [each.size for each in ahead.batches(lane)] == sizes[lane]
        for each in readers:
            each.result(SECONDS)


def test_later_lanes_share_half_of_the_room() -> None:
    ahead = ReadAhead(lanes=3, limit=100)
    ahead.put(1, batch(30))
    ahead.put(2, batch(20))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(ahead.put, 2, batch(1))
        assert waits(late)
        ahead.put(0, batch(50))  # the one that is written may use all of it
        ahead.close(0)
        assert [each.size for each in ahead.batches(0)] == [50]
        assert not late.done()
        ahead.close(1)
        assert [each.size for each in ahead.batches(1)] == [30]
        late.result(SECONDS)


def test_a_batch_larger_than_all_room_passes_when_its_turn_has_come() -> None:
    ahead = ReadAhead(lanes=2, limit=10)
    with ThreadPoolExecutor(1) as pool:
        large = pool.submit(fill, ahead, 1, [1000, 2000])
        assert waits(large)
        ahead.close(0)
        assert list(ahead.batches(0)) == []
        assert [each.size for each in ahead.batches(1)] == [1000, 2000]
        large.result(SECONDS)


def test_an_error_of_any_lane_is_raised_at_once() -> None:
    ahead = ReadAhead(lanes=3, limit=100)
    ahead.put(0, batch(1))
    batches = ahead.batches(0)
    assert next(batches).size == 1
    ahead.close(2, ValueError("lane 2 is broken"))
    with pytest.raises(ValueError, match="lane 2 is broken"):
        next(batches)


def test_who_waits_for_room_is_let_go() -> None:
    ahead = ReadAhead(lanes=2, limit=10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ahead.put, 1, batch(100))
        assert waits(waiting)
        ahead.cancel()
        with pytest.raises(CancelledError):
            waiting.result(SECONDS)
    assert ahead.cancelled
