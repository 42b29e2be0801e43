"""Start a program and leave nothing of it behind. Run as a script, never imported by the sandbox.

``python -I -S keeper.py <pid of the parent> <seconds> <program> <arguments>``

For programs with children of their own, which PR_SET_PDEATHSIG does not reach (Airflow's live in sessions of
their own). The keeper is the "child subreaper" of everything below it (prctl(2)): an orphan becomes its child
and so cannot escape. When the program ends, everything else below is killed. At SIGTERM, or when the parent dies,
the program gets SIGTERM, and after the seconds given all is killed; at SIGINT all is killed at once. When the keeper
itself is killed, the kernel kills the program.

Exit status: the program's, or 128 and the number of the signal that ended it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
EXIT_PARENT_GONE = 125
POLL_SECONDS = 0.05

_deadlines: list[float] = []


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process, by the system call of that name."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def become(program: list[str], keeper: int) -> None:
    """Turn this process, fresh from the fork, into the program. Never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores the last two, and what is ignored is inherited
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == keeper:
            os.execvp(program[0], program)
    except OSError as error:
        os.write(2, f"{program[0]} cannot be started: {error}\n".encode())
    finally:
        os._exit(127)


def children() -> list[int]:
    """Return the process ids of the direct children, adopted ones too."""
    found: list[int] = []
    for tasks in Path("/proc/self/task").iterdir():
        found += map(int, (tasks / "children").read_text().split())
    return found


def reap(program: int) -> int | None:
    """Collect ended children; return the program's wait status if it was among them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == 0:
            return status
        if pid == program:
            status = ended


def watch(program: int) -> int:
    """Wait for the program's end, ending it when asked to; return its wait status."""
    told = False
    while (status := reap(program)) is None:
        if _deadlines and not told:
            os.kill(program, signal.SIGTERM)
            told = True
        if _deadlines and time.monotonic() > min(_deadlines):
            os.kill(program, signal.SIGKILL)
        time.sleep(POLL_SECONDS)
    return status


def kill_the_rest() -> None:
    """Kill all that is left below, generation by generation: the children of a killed one become ours."""
    while remaining := children():
        for pid in remaining:
            os.kill(pid, signal.SIGKILL)  # ours and not reaped yet: the id cannot be somebody else's
        time.sleep(0.01)
        reap(0)


def main() -> None:
    """Start the program named in the arguments and keep it."""
    parent, grace = int(sys.argv[1]), float(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: _deadlines.append(time.monotonic() + grace))
    signal.signal(signal.SIGINT, lambda *_: _deadlines.append(time.monotonic()))
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(EXIT_PARENT_GONE)
    keeper = os.getpid()
    program = os.fork()
    if program == 0:
        os.setpgid(0, 0)
        become(sys.argv[3:], keeper)
    status = watch(program)
    kill_the_rest()
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


if __name__ == "__main__":
    main()
