"""The most memory that agents and what they start have taken, while a live Airflow runs them by the local runner."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import psutil

from sandbox.airflow import Airflow

LOOK_SECONDS = 0.5
PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)  # proc(5): it never falls, so that no look must be in time


class Peaks:
    """Looks at the scheduler's descendants until the end of `with`."""

    def __init__(self, airflow: Airflow) -> None:
        self.megabytes = {"agent": 0.0, "restic": 0.0}
        """The largest process of each kind."""
        self._airflow = airflow
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            pid = self._airflow.components["scheduler"].pid
            for process in psutil.Process(pid).children(recursive=True) if pid else ():
                try:
                    kind = _kind(process.cmdline())
                    found = PEAK.search(Path(f"/proc/{process.pid}/status").read_text()) if kind else None
                except (psutil.Error, OSError):  # it has ended
                    continue
                if kind and found:
                    self.megabytes[kind] = max(self.megabytes[kind], int(found[1]) / 1000)


def _kind(command: list[str]) -> str | None:
    if command[1:5] == ["-P", "-m", "mongo_backup", "agent"]:
        return "agent"
    return "restic" if command and Path(command[0]).name == "restic" else None
