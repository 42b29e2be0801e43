"""Run a program that must never take the death of its caller for the end of its input. A script, never imported.

``python -I -S guard.py <control> <hold> <keep> <grace> <program> <arguments>``

A program that reads a pipe sees the same end of input whether its writer has finished or was killed: restic would
save half a backup as a whole one. So this process is the program's parent and keeps a copy of the pipe's write end
(descriptor `hold`, -1 for none) until the caller says `COMMIT` on the pipe `control`. When `control` closes, because
the caller is dead or wants an end, the program gets SIGINT first (restic then removes its lock), SIGKILL after `grace`
seconds, and only when it is gone the copy is closed. When this process itself is killed, the kernel kills the program
(prctl(2), PR_SET_PDEATHSIG). The descriptors `keep` (separated by commas) are the read ends of the program's own
output: without a reader its last words would end it by SIGPIPE, before it has cleaned up.

`AGAIN` on `control` ends the program and starts it anew on the same input. It is for a program that has not read from
its input yet, only the caller can know.

Exit status: the program's, or 128 and the number of the signal that ended it; 127 when it cannot be started.
It starts in about 30 ms: nothing but the standard library's small modules is imported.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time

COMMIT = b"C"
AGAIN = b"A"
PR_SET_PDEATHSIG = 1
EXIT_CANNOT_START = 127
_BLOCKED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def start(program: list[str], source: int) -> int:
    """Start the program with `source` as its standard input; return its process id."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        become(program, parent, source)
    return child


def become(program: list[str], parent: int, source: int) -> None:
    """Turn this process, fresh from the fork, into the program. Never returns."""
    try:
        os.dup2(source, 0)
        for number in (*_BLOCKED, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a SIGINT that came since the fork ends it here
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
        if os.getppid() == parent:  # else the guard died before the request was made
            os.execvp(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"{program[0]} cannot be started: {error.strerror}\n".encode())
    finally:
        os._exit(EXIT_CANNOT_START)


def watch(program: list[str], source: int, control: int, hold: int, grace: float, woken: int) -> int:
    """Run the program to its end, obey `control` meanwhile; return its wait status."""
    child, again = start(program, source), False
    sources, deadline = [control, woken], None
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done and not again:
            return status
        if done:
            child, again, deadline = start(program, source), False, None
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(sources, [], [], left)
        if woken in readable:
            os.read(woken, 64)
        if control in readable:
            order = os.read(control, 1)
            if order == COMMIT and hold >= 0:
                os.close(hold)
                hold = -1
            elif order != COMMIT:
                again = order == AGAIN
                sources = sources if again else [woken]
                deadline = time.monotonic() + grace
                os.kill(child, signal.SIGINT)
        elif not readable:
            deadline = None
            os.kill(child, signal.SIGKILL)


def main() -> None:
    """Start the program named in the arguments and watch it."""
    control, hold, grace = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[4])
    for descriptor in (control, hold, *map(int, sys.argv[3].split(","))):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    # The caller's life decides, not a signal to its group. Blocked and not ignored: an ignored one would be lost
    # if it was meant for the child before this has become the program.
    signal.pthread_sigmask(signal.SIG_BLOCK, _BLOCKED)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # Kept for `AGAIN`. The program's death still shows to the writer: this process ends with it.
    source = os.dup(0)
    status = watch(sys.argv[5:], source, control, hold, grace, woken)
    os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


if __name__ == "__main__":
    main()
