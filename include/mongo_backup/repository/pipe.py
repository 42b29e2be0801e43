"""The way into a repository: a pipe into `restic backup --stdin` that saves everything or nothing.

restic takes the end of its input for the end of the data. What keeps half an archive from becoming a snapshot is
described in `mongo_backup.guard`; here are the writer's side of it, the watch over a store that stands still, and the
comparison of the bytes that were written with those that restic counted.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import subprocess
import time
from datetime import UTC, datetime
from types import TracebackType

from pydantic import ValidationError

from mongo_backup.errors import MongoBackupError, PermanentError, VerificationError
from mongo_backup.processes import Completed, Drain, GuardedProcess
from mongo_backup.repository.labels import Label
from mongo_backup.repository.outcome import plain
from mongo_backup.repository.records import BackupSummary
from mongo_backup.repository.restic import Repository

logger = logging.getLogger(__name__)

PIPE_BYTES = 1024 * 1024
"""Linux's limit for a user without privileges (pipe(7), pipe-max-size)."""
STALL_SECONDS = 120.0
FINISH_SECONDS = 1800.0


class BackupSink:
    """One snapshot in the making. Leaving its `with` block without `finish` saves nothing.

    :param file: the file's name in the snapshot; the same in each backup, so that people find it.
    :param stall_seconds: a store that takes nothing for so long is given up: a locked member waits behind it.
    :param finish_seconds: how long restic may take to upload the rest after the last byte.
    :param grace_seconds: how long restic may take to remove its lock when it is ended.
    :param at: the snapshot's time; None: now. restic knows it to the second.
    """

    def __init__(
        self,
        repository: Repository,
        label: Label,
        file: str,
        *,
        stall_seconds: float = STALL_SECONDS,
        finish_seconds: float = FINISH_SECONDS,
        grace_seconds: float = 10.0,
        at: datetime | None = None,
    ) -> None:
        self.bytes_written = 0
        self._repository = repository
        self._doing = f"saving {file}"
        self._stall_seconds = stall_seconds
        self._finish_seconds = finish_seconds
        self._began = time.monotonic()
        self._over = False
        self._tags = label.tags
        self._process: GuardedProcess = repository.start(
            "backup",
            "--stdin",
            "--stdin-filename",
            file,
            "--host",
            repository.host,
            "--tag",
            ",".join(self._tags),
            "--json",
            "--quiet",
            *(() if at is None else ("--time", f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}")),
            feed=True,
            grace_seconds=grace_seconds,
            on_error_line=self._log,
        )
        self._output = Drain(self._process.stdout, limit=64 * 1024)
        with contextlib.suppress(OSError):  # more pipes than one user may have that large: works all the same
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(self._process.stdin, False)  # so that a stall can be seen; a pipe's ends do not share this
        self._writable = select.poll()
        self._writable.register(self._process.stdin, select.POLLOUT)

    def __enter__(self) -> BackupSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    @property
    def guard_pid(self) -> int:
        """Process id of the guard; restic is its child."""
        return self._process.guard_pid

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Hand all of `data` to restic; returns its length. Blocks while the store is slower than the reader.

        :raises MongoBackupError: restic ended (its words are in the message), or the store stands still.
        """
        if self._over:
            raise PermanentError(f"{self._doing}: written to after its end")
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            try:
                written = os.write(self._process.stdin, rest)
            except BlockingIOError:
                if not self._writable.poll(self._stall_seconds * 1000):
                    raise self._stalled(f"nothing was taken for {self._stall_seconds:.0f} s") from None
            except BrokenPipeError:
                raise self._failure(self._end()) from None
            else:
                rest = rest[written:]
                self.bytes_written += written
        return length

    def finish(self) -> BackupSummary:
        """Everything is written: let restic save the snapshot, and return what it says about it.

        :raises MongoBackupError: it failed, and nothing was saved.
        :raises VerificationError: restic counted other bytes than were written.
        """
        if self._over:
            raise PermanentError(f"{self._doing}: finished after its end")
        with contextlib.suppress(BrokenPipeError):  # it ended already: its exit status says why
            self._process.commit()
        try:
            status = self._process.wait(self._finish_seconds)
        except subprocess.TimeoutExpired:
            raise self._stalled(f"not finished {self._finish_seconds:.0f} s after the last byte") from None
        self._over = True
        self._output.join()
        if status != 0:
            raise self._failure(status)
        return self._summary()

    def abort(self) -> None:
        """End restic without a snapshot and without its lock. Does nothing after `finish`; may be called again."""
        if not self._over:
            self._end()
            logger.info("%s: ended without a snapshot", self._doing)

    def _summary(self) -> BackupSummary:
        lines = self._output.text.splitlines()
        try:
            summary = BackupSummary.model_validate_json(lines[-1])
        except (IndexError, ValidationError):
            raise PermanentError(f"{self._doing}: restic ended well and printed no summary") from None
        if summary.total_bytes_processed != self.bytes_written:
            self._repository.forget([summary.snapshot_id])
            raise VerificationError(
                f"{self._doing}: {self.bytes_written} bytes were written, restic counted "
                f"{summary.total_bytes_processed}; the snapshot was removed"
            )
        return summary.model_copy(update={"snapshot_id": self._full_id(summary.snapshot_id)})

    def _full_id(self, short: str) -> str:
        """Ask for the whole id, which restic before 0.17 does not print; the snapshot is surely there then."""
        found = [each.id for each in self._repository.snapshots(tags=self._tags) if each.id.startswith(short)]
        if len(found) != 1:
            raise VerificationError(f"{self._doing}: restic saved snapshot {short}, and it is not in the repository")
        return found[0]

    def _end(self) -> int:
        self._over = True
        status = self._process.end()
        self._output.join(5)
        return status

    def _completed(self, status: int, *, timed_out: bool = False) -> Completed:
        seconds = time.monotonic() - self._began
        return Completed(status, "", self._process.errors.text, seconds, timed_out)

    def _failure(self, status: int) -> MongoBackupError:
        if status == 0:  # it closed its input and ended well: not what we know as restic
            return PermanentError(f"{self._doing}: restic ended before the end of the data")
        return self._repository.error(self._completed(status), self._doing)

    def _stalled(self, how: str) -> MongoBackupError:
        status = self._end()
        error = self._repository.error(self._completed(status, timed_out=True), self._doing)
        return type(error)(f"{error.message} ({how})")

    def _log(self, line: str) -> None:
        if (text := plain(line).strip()) and not self._over:
            logger.warning("restic, %s: %s", self._doing, self._repository.redact(text))
