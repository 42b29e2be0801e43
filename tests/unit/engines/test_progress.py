from __future__ import annotations

import logging
import threading

import pytest

from mongo_backup.engines.progress import Progress


def test_a_line_says_how_far_it_is() -> None:
    progress = Progress(component="shard0", collections=40)
    progress.collections = 12
    progress.add(documents=1_200_000, bytes=830_000_000)
    assert progress.line().startswith("shard0: 12 of 40 collections, 1.2M documents, 830 MB, ")
    assert progress.line().endswith(" MB/s")


@pytest.mark.parametrize(("count", "words"), [(0, "0"), (9_999, "9999"), (12_345, "12.3k"), (2_500_000_000, "2.5G")])
def test_numbers_for_people(count: int, words: str) -> None:
    progress = Progress(component="c", collections=1)
    progress.add(documents=count, bytes=0)
    assert f", {words} documents," in progress.line()


def test_lines_come_while_it_runs_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen = threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.set()

    handler = Seen()
    logging.getLogger("mongo_backup.engines.progress").addHandler(handler)
    try:
        with Progress(component="shard0", collections=2, interval_seconds=0.01) as progress:
            assert seen.wait(20)
            progress.collections = 2
    finally:
        logging.getLogger("mongo_backup.engines.progress").removeHandler(handler)
    assert "shard0: 0 of 2 collections" in caplog.messages[0]
    assert caplog.messages[-1].startswith("shard0: 2 of 2 collections")
    assert caplog.messages[-1].endswith("all is written")


def test_a_failure_is_not_called_an_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(ValueError, match="broken"), Progress(component="c", collections=1):
        raise ValueError("broken")
    assert caplog.messages == []
