"""Temporary folders of the sandbox. They go when their owner removes them, and also when it dies."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from sandbox.processes import kill_all

PREFIX = "mongo-backup-sandbox-"
JANITOR = Path(__file__).with_name("janitor.py")

_open: set[Workspace] = set()


class Workspace:
    """A fresh folder that only this user can read, and a small process (`janitor.py`) that outlives a crash."""

    def __init__(self, name: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
        self._owner = os.getpid()
        self._paths = [self.path]
        self._janitor = subprocess.Popen(
            [sys.executable, "-I", "-S", str(JANITOR)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the owner
            text=True,
            cwd="/",
        )
        self._tell(self.path)
        _open.add(self)

    def _tell(self, path: Path) -> None:
        assert self._janitor.stdin
        self._janitor.stdin.write(f"{path}\n")
        self._janitor.stdin.flush()

    def folder(self, name: str) -> Path:
        """Return a folder in it, made when missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def adopt(self, path: Path) -> None:
        """Let a file elsewhere go with it: some programs write where nobody asked them to."""
        self._paths.append(path)
        self._tell(path)

    def remove(self) -> None:
        """Remove it with all that is in it. May be called again."""
        if self not in _open or self._owner != os.getpid():
            return
        _open.discard(self)
        for path in self._paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        assert self._janitor.stdin
        with contextlib.suppress(BrokenPipeError):
            self._janitor.stdin.write("\n")  # nothing left to do
            self._janitor.stdin.close()
        self._janitor.wait(timeout=60)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


@atexit.register
def _remove_all() -> None:
    kill_all()  # nobody writes into a folder any more
    for workspace in list(_open):
        workspace.remove()
