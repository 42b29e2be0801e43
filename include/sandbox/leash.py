"""Start a program that ends when its parent ends. Run as a script, never imported by the sandbox.

``python -I -S leash.py <pid of the parent> <program> <arguments>``

Asks the kernel for SIGKILL at the death of the parent *thread* (prctl(2), PR_SET_PDEATHSIG), then becomes the
program (execve(2) keeps the request). Doing this in a program of its own and not in a ``preexec_fn`` keeps
the parent free to have threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
EXIT_PARENT_GONE = 125


def main() -> None:
    """Tie this process to its parent and become the program named in the arguments."""
    parent, program = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it died before the request was made
        sys.exit(EXIT_PARENT_GONE)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and what is ignored is inherited
    os.execvp(program[0], program)


if __name__ == "__main__":
    main()
