"""Run a throw-away server and remove its folders when it ends. A script, never imported.

``python -I -S keeper.py <lock> <folder>[:<folder>...] <program> <arguments>``

It holds a lock on the file `lock` while it lives, so that a later run can tell a folder that somebody uses from one
that was left behind (`mongo_backup.verify.throwaway.sweep`). SIGINT ends the server at once: its data are not wanted.
When this process is killed, the kernel kills the server with it (prctl(2), PR_SET_PDEATHSIG).
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main() -> int:
    """Run the server to its end; return its exit status."""
    lock, folders, *command = sys.argv[1:]
    with Path(lock).open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        server = None
        try:
            server = subprocess.Popen(command, preexec_fn=die_with_parent)
            return server.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if server is not None:
                server.kill()
                server.wait()
            for folder in folders.split(os.pathsep):
                shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
