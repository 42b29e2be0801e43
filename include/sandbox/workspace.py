"""Temporary folders of the sandbox, removed in any case: by their owner, or by the next run after a crash."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType

PREFIX = "mongo-backup-sandbox-"
LOCK = ".lock"

_open: weakref.WeakSet[Workspace] = weakref.WeakSet()


class Workspace:
    """A fresh folder only this user can read, held by a lock as long as its owner lives."""

    def __init__(self, name: str) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-"))
        self._owner = os.getpid()
        self._lock = os.open(self.path / f"{LOCK}.new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path / f"{LOCK}.new").rename(self.path / LOCK)  # never seen unlocked by `sweep`
        _open.add(self)

    def folder(self, name: str) -> Path:
        """Return a folder in it, made when missing."""
        path = self.path / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def remove(self) -> None:
        """Remove it with all that is in it. May be called again."""
        if self._lock < 0 or self._owner != os.getpid():
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = -1
        _open.discard(self)

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def sweep() -> None:
    """Remove the folders whose owner is gone: their lock is free."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        try:
            handle = os.open(lock, os.O_RDWR)
        except OSError:  # removed meanwhile, or another user's
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(handle)


@atexit.register
def _remove_all() -> None:
    # Registered before `processes` registers its own when imported first; `processes` kills its children
    # with SIGKILL, so a folder can be removed in either order.
    for workspace in list(_open):
        workspace.remove()
