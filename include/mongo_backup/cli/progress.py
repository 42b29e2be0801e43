"""Progress bars on a terminal; anywhere else the log's lines say the same."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mongo_backup.engines.progress import RUNNING

_INTERVAL_SECONDS = 0.2


@contextmanager
def progress_bars(totals: Mapping[str, int], *, doing: str) -> Iterator[None]:
    """Show one bar for each component while the block runs, if standard error is a terminal.

    :param totals: the documents' bytes of each component, by the name that its progress has.
    """
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    root, over = logging.getLogger(), threading.Event()
    level = root.level
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as shown:
        bars = {name: shown.add_task(f"{doing} {name}", total=total or 1) for name, total in totals.items()}

        def follow() -> None:
            seen: set[str] = set()
            while not over.wait(_INTERVAL_SECONDS):
                for name, running in list(RUNNING.items()):
                    if name in bars:
                        seen.add(name)
                        shown.update(bars[name], completed=running.bytes)
                for name in seen - RUNNING.keys():
                    shown.update(bars[name], completed=totals[name] or 1)

        thread = threading.Thread(target=follow, name="progress-bars", daemon=True)
        thread.start()
        root.setLevel(max(level, logging.WARNING))  # lines of the log would run through the bars
        try:
            yield
        finally:
            over.set()
            thread.join()
            root.setLevel(level)
