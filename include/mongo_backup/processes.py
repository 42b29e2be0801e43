"""Child processes of the core: they never outlive the agent, their output never blocks them, they can be ended in time.

Each runs below a guard (`guard.py`) in a session of its own: a signal to the agent's process group does not reach it,
the agent decides. When the agent dies, however it dies, the child gets SIGINT and then SIGKILL.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mongo_backup.errors import TransientError
from mongo_backup.guard import AGAIN, COMMIT

logger = logging.getLogger(__name__)

GUARD = Path(__file__).with_name("guard.py")
TAIL_BYTES = 16 * 1024
GRACE_SECONDS = 10.0
RESTARTS = 8
RESTART_PAUSE_SECONDS = 1.0
_SETTLE_SECONDS = 5.0
"""How long the end of the output is waited for when guard and child are gone."""


SHORTEST_SECRET = 4
"""What is shorter is left: replacing single letters would make a message unreadable and hide nothing."""


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace each secret in `text` by `***`; the longest first, so that no rest of one stays."""
    for secret in sorted({each for each in secrets if len(each) >= SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class Drain(threading.Thread):
    """Reads a pipe to its end, so that the child never blocks on it, and keeps its last bytes.

    :param limit: how many of the last bytes are kept; None: all.
    :param on_line: called with each whole line.
    """

    def __init__(self, pipe: IO[bytes], *, limit: int | None, on_line: Callable[[str], None] | None = None) -> None:
        super().__init__(name="drain", daemon=True)
        self._pipe = pipe
        self._limit = limit
        self._on_line = on_line
        self._kept = bytearray()
        self._guard = threading.Lock()
        self.start()

    def run(self) -> None:
        """Read until the last holder of the write end is gone."""
        with self._pipe:
            for line in self._pipe:
                with self._guard:
                    self._kept += line
                    if self._limit is not None:
                        del self._kept[: -self._limit]
                if self._on_line is not None:
                    self._on_line(line.decode("utf-8", "replace").rstrip())

    @property
    def text(self) -> str:
        """What was kept so far."""
        with self._guard:
            return self._kept.decode("utf-8", "replace")


class GuardedProcess:
    """One program below its guard.

    :param command: program and arguments; never a secret, arguments are public on a machine.
    :param environment: the child's whole environment.
    :param feed: give it a pipe as standard input, `stdin`; it sees the end of input only after `commit`.
    :param grace_seconds: time between SIGINT and SIGKILL when it is ended.
    :param on_error_line: called with each line of its standard error, from another thread.
    :param again_on: a line of its standard error that means: start it again. Only for what it says before it has read
        from its input, written to its output or changed anything.
    :param end_on: a line of its standard error after which it would only try in vain: it is ended at once.
    :raises OSError: the guard cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        feed: bool = False,
        grace_seconds: float = GRACE_SECONDS,
        on_error_line: Callable[[str], None] | None = None,
        again_on: re.Pattern[str] | None = None,
        end_on: re.Pattern[str] | None = None,
    ) -> None:
        self.grace_seconds = grace_seconds
        self._name = Path(command[0]).name
        self._on_error_line = on_error_line
        self._again_on = again_on
        self._end_on = end_on
        self._restarts = 0
        self._restarted = -RESTART_PAUSE_SECONDS
        self._closing = threading.Lock()
        control, self._control = os.pipe()
        output, output_end = os.pipe()
        errors, errors_end = os.pipe()
        source, self._stdin = os.pipe() if feed else (subprocess.DEVNULL, -1)
        kept = (output, errors)
        guard = [str(control), str(self._stdin), ",".join(map(str, kept)), str(grace_seconds)]
        theirs = [control, output_end, errors_end, *([source] if feed else [])]
        try:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), *guard, *command],
                stdin=source,
                stdout=output_end,
                stderr=errors_end,
                env=dict(environment),
                pass_fds=(control, *kept, *([self._stdin] if feed else [])),
                start_new_session=True,
            )
        except BaseException:
            self._close("_control", "_stdin")
            theirs += kept
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.stdout: IO[bytes] = os.fdopen(output, "rb")
        self.errors = Drain(os.fdopen(errors, "rb"), limit=TAIL_BYTES, on_line=self._hear)

    @property
    def stdin(self) -> int:
        """Descriptor of the pipe's write end."""
        return self._stdin

    @property
    def guard_pid(self) -> int:
        """Process id of the guard."""
        return self._guard.pid

    @property
    def running(self) -> bool:
        """Whether the guard, and so the program, lives."""
        return self._guard.poll() is None

    def commit(self) -> None:
        """End the program's input: everything is written, it may finish.

        :raises BrokenPipeError: the program is gone.
        """
        os.write(self._control, COMMIT)
        self._close("_stdin")

    def _hear(self, line: str) -> None:
        if self._end_on is not None and self._end_on.search(line):
            self._close("_control")  # its guard ends it
        if self._again_on is not None and self._again_on.search(line) and self._restarts < RESTARTS:
            self._start_again()
        elif self._on_error_line is not None:
            self._on_error_line(line)

    def _start_again(self) -> None:
        now = time.monotonic()
        if now - self._restarted < RESTART_PAUSE_SECONDS:
            return  # the same program's next words
        self._restarts, self._restarted = self._restarts + 1, now
        logger.info("starting %s again: it stumbled before it began (attempt %d)", self._name, self._restarts + 1)
        with self._closing:
            if self._control >= 0:  # else it is being ended: that wins
                with contextlib.suppress(OSError):
                    os.write(self._control, AGAIN)

    def wait(self, timeout: float | None) -> int:
        """Return the exit status: the program's, 128 + a signal's number, or negative if the guard was killed.

        :raises subprocess.TimeoutExpired: it runs on after `timeout` seconds.
        """
        status = self._guard.wait(timeout)
        self.errors.join(_SETTLE_SECONDS)
        self._close("_control", "_stdin")
        return status

    def end(self) -> int:
        """End it if it runs, SIGINT first, and return its exit status. May be called again.

        The write end of its input stays open until it is gone: it must not take this for the end of its input.
        """
        self._close("_control")
        try:
            return self.wait(self.grace_seconds + _SETTLE_SECONDS)
        except subprocess.TimeoutExpired:  # the guard itself hangs: the kernel kills the program with it
            self._guard.kill()
            return self.wait(None)

    def _close(self, *names: str) -> None:
        with self._closing:
            for name in names:
                self._close_one(name)

    def _close_one(self, name: str) -> None:
        if (descriptor := getattr(self, name)) >= 0:
            setattr(self, name, -1)
            os.close(descriptor)


@dataclass(frozen=True)
class Completed:
    """How a program ended that was run to its end."""

    status: int
    stdout: str
    stderr: str
    """The last 16 KiB."""
    seconds: float
    timed_out: bool = False


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    timeout: float,
    grace_seconds: float = GRACE_SECONDS,
    again_on: re.Pattern[str] | None = None,
    end_on: re.Pattern[str] | None = None,
) -> Completed:
    """Run a program to its end, or end it after `timeout` seconds.

    :param again_on: see `GuardedProcess`.
    :param end_on: see `GuardedProcess`.
    :raises TransientError: no process can be started on this machine now.
    """
    began = time.monotonic()
    try:
        process = GuardedProcess(
            command, environment=environment, grace_seconds=grace_seconds, again_on=again_on, end_on=end_on
        )
    except OSError as error:
        raise TransientError(f"{command[0]} cannot be started: {error.strerror}") from error
    output = Drain(process.stdout, limit=None)
    timed_out = False
    try:
        status = process.wait(timeout)
    except subprocess.TimeoutExpired:
        timed_out, status = True, process.end()
    finally:
        with contextlib.suppress(OSError):
            process.end()
    output.join(_SETTLE_SECONDS)
    return Completed(status, output.text, process.errors.text, time.monotonic() - began, timed_out)
