"""Remove files when their owner is gone. Run as a script, never imported by the sandbox.

``python -I -S janitor.py < pipe``

Each line on the pipe is a path; an empty one says that the owner has removed all itself. The pipe ends when its
owner closes it or dies, however it dies; then each path is removed, again and again until it stays away: what
wrote there may need a moment longer to end.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

POLL_SECONDS = 0.2
QUIET_POLLS = 3
GIVE_UP_SECONDS = 60.0


def remove(path: Path) -> None:
    """Remove a folder with all that is in it, or a file."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """Wait for the end of the input, then remove what it named."""
    lines = [line.rstrip("\n") for line in sys.stdin]
    if not lines or not lines[-1]:
        return
    paths = [Path(line) for line in lines]
    deadline = time.monotonic() + GIVE_UP_SECONDS
    quiet = 0
    while quiet < QUIET_POLLS and time.monotonic() < deadline:
        there = [path for path in paths if path.exists() or path.is_symlink()]
        quiet = 0 if there else quiet + 1
        for path in there:
            remove(path)
        time.sleep(0 if quiet == QUIET_POLLS else POLL_SECONDS)


if __name__ == "__main__":
    main()
