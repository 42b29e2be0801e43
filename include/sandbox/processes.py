"""Child processes that never outlive the process that started them.

Each child has its own session, so Ctrl-C in the terminal does not reach it before its owner stops it in order;
it is killed by the kernel when its owner dies (see `leash.py`), and by ``atexit`` when the owner just ends.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType

from mongo_backup.errors import PermanentError, TransientError

logger = logging.getLogger(__name__)

LEASH = Path(__file__).with_name("leash.py")
KEEPER = Path(__file__).with_name("keeper.py")
TAIL_LINES = 25
KILL_SECONDS = 10.0
"""How long a keeper may take to kill everything below it."""


Child = subprocess.Popen[bytes]
Order = tuple[Callable[[], Child], Future[Child]]


class _Spawner:
    """The one thread that starts all children.

    The kernel ties PR_SET_PDEATHSIG to the *thread* that forked, so this thread must live as long as the process.
    """

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._owner = 0
        self._guard = threading.Lock()

    def start(self, order: Callable[[], Child]) -> Child:
        with self._guard:
            if self._owner != os.getpid():  # first use, or a fork: threads do not come along
                self._orders = queue.SimpleQueue()
                threading.Thread(target=self._work, args=(self._orders,), name="sandbox-spawner", daemon=True).start()
                self._owner = os.getpid()
        done: Future[Child] = Future()
        self._orders.put((order, done))
        return done.result()

    @staticmethod
    def _work(orders: queue.SimpleQueue[Order]) -> None:
        while True:
            order, done = orders.get()
            try:
                done.set_result(order())
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                done.set_exception(error)


_spawner = _Spawner()
_living: set[Process] = set()


class Process:
    """One supervised program. Its output goes to `log_path`, appended.

    :param name: for messages and logs.
    :param command: program and arguments; never a secret, arguments are public on a machine.
    :param environment: the child's whole environment; that of this process if None.
    :param stop_timeout: seconds between SIGTERM and SIGKILL.
    :param tree: the program has children that may leave its group: keep and end them all (`keeper.py`).
        Signals then reach the program only as SIGTERM and SIGKILL: it cannot be paused.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_timeout: float = 20.0,
        tree: bool = False,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log_path = log_path
        self.environment = environment
        self.cwd = cwd
        self.stop_timeout = stop_timeout
        self.tree = tree
        self._child: Child | None = None
        self._owner = os.getpid()

    @property
    def pid(self) -> int | None:
        """Process id of the running child, None if there is none."""
        return self._child.pid if self._child and self.running else None

    @property
    def running(self) -> bool:
        """Whether the child lives (a paused one does)."""
        return self._child is not None and not self._exited(self._child)

    def start(self) -> None:
        """Start the program; returns at once. Does nothing when it runs."""
        if self.running:
            return
        self._reap()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        self._owner = os.getpid()
        self._child = _spawner.start(self._spawn)
        _living.add(self)
        logger.debug("started %s, pid %d", self.name, self._child.pid)

    def _spawn(self) -> Child:
        script = (
            [str(KEEPER), str(os.getpid()), str(self.stop_timeout)] if self.tree else [str(LEASH), str(os.getpid())]
        )
        with self.log_path.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", *script, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                cwd=self.cwd,
                start_new_session=True,
            )

    @staticmethod
    def _exited(child: Child) -> bool:
        if child.returncode is not None:
            return True
        try:  # WNOWAIT leaves a zombie, so that neither its pid nor its group can be given to somebody else
            return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def wait_ready(self, ready: Callable[[], bool], *, timeout: float = 60.0, interval: float = 0.03) -> None:
        """Wait until `ready` says yes.

        :param timeout: seconds.
        :raises PermanentError: the program ended first; the message shows the end of its log.
        :raises TransientError: the time is over; the message shows the end of its log.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running:
                code = self._reap()
                raise PermanentError(
                    f"{self.name} ended while starting, exit status {code}; its log ends:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise TransientError(f"{self.name} is not ready after {timeout:.0f} s; its log ends:\n{self.tail()}")
            time.sleep(interval)

    def tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child and all of its group. Does nothing when it is not running."""
        if self._child and self.running:
            os.killpg(self._child.pid, number)

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it keeps its connections and answers nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused one go on (SIGCONT)."""
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL after `stop_timeout`. May be called again."""
        self.ask_to_stop()
        self.wait_stopped(self.stop_timeout + (KILL_SECONDS if self.tree else 0))
        self.kill()

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once, to stop many together."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)  # a paused one would not see the first

    def wait_stopped(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end; return whether it came."""
        deadline = time.monotonic() + timeout
        while self.running:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def kill(self) -> None:
        """End it and what is left of its group by SIGKILL, and wait for that. May be called again."""
        if self._child is None or self._owner != os.getpid():  # a fork of the owner has no children to kill
            return
        if self.tree:
            self.signal(signal.SIGINT)
            self.wait_stopped(KILL_SECONDS)
        if self._child.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> int | None:
        if self._child is None:
            return None
        code = self._child.wait()
        self._child = None
        _living.discard(self)
        return code

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@atexit.register
def kill_all() -> None:
    """Kill every child that this process has."""
    for process in list(_living):
        process.kill()
