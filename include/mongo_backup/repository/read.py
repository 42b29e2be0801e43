"""The way out of a repository: one file of one snapshot as a stream.

`restic dump` writes what it has and fails later: its exit status is part of the data. So the end of the stream is only
given out when restic ended well, and a stream that is cut short raises instead.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import select
import time
from types import TracebackType
from typing import Any

from mongo_backup.errors import MongoBackupError
from mongo_backup.processes import Completed
from mongo_backup.repository.pipe import PIPE_BYTES
from mongo_backup.repository.restic import Repository

STALL_SECONDS = 600.0


class SnapshotReader(io.RawIOBase):
    """A readable stream. Leaving its `with` block reads the rest, so that success means a whole file; see `abort`.

    :param snapshot_id: restic's id.
    :param file: the path in the snapshot, such as `/shard0.archive`.
    :param lock: keep a prune away while it is read; a short document does without.
    :param stall_seconds: a store that gives nothing for so long is given up.
    """

    def __init__(
        self,
        repository: Repository,
        snapshot_id: str,
        file: str,
        *,
        lock: bool = True,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.bytes_read = 0
        self._repository = repository
        self._doing = f"reading {file} of snapshot {snapshot_id[:8]}"
        self._stall_seconds = stall_seconds
        self._began = time.monotonic()
        self._over = False
        self._process = repository.start("dump", *(() if lock else ("--no-lock",)), snapshot_id, file)
        self._source = self._process.stdout.fileno()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._readable = select.poll()
        self._readable.register(self._source, select.POLLIN)

    def readable(self) -> bool:
        """It is."""
        return True

    @property
    def guard_pid(self) -> int:
        """Process id of the guard; restic is its child."""
        return self._process.guard_pid

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what is there; 0 only at the end of a whole file.

        :raises MongoBackupError: restic failed, or nothing came for `stall_seconds`.
        """
        if self._over:
            return 0
        if not self._readable.poll(self._stall_seconds * 1000):
            raise self._failure(self._end(), stalled=True)
        count = os.readv(self._source, [buffer])
        self.bytes_read += count
        if count == 0 and len(memoryview(buffer)) > 0 and (status := self._end(wait=True)) != 0:
            raise self._failure(status)
        return count

    def finish(self) -> None:
        """Read to the end; returns only when the whole file was given out.

        :raises MongoBackupError: it was not.
        """
        scrap = bytearray(PIPE_BYTES)
        while self.readinto(scrap):
            pass

    def abort(self) -> None:
        """End it here: the rest is not wanted. May be called again."""
        if not self._over:
            self._end()

    def close(self) -> None:
        """End it if it has not ended. Says nothing about whether all was read: `finish` does."""
        if hasattr(self, "_process"):
            self.abort()
        super().close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()

    def _end(self, *, wait: bool = False) -> int:
        status = self._process.wait(self._stall_seconds) if wait else self._process.end()
        self._over = True
        self._process.stdout.close()
        return status

    def _failure(self, status: int, *, stalled: bool = False) -> MongoBackupError:
        seconds = time.monotonic() - self._began
        done = Completed(status, "", self._process.errors.text, seconds, timed_out=stalled)
        return self._repository.error(done, self._doing)


def read_file(repository: Repository, snapshot_id: str, file: str) -> bytes:
    """A whole small file.

    :raises MongoBackupError: it cannot be read to its end.
    """
    with SnapshotReader(repository, snapshot_id, file, lock=False, stall_seconds=120) as stream:
        return stream.readall() or b""
