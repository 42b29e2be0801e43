"""Who is running on this machine: two tries of one task never at the same time.

Airflow starts a new try while the agent of the old one may still be undoing its marks: the task's process is killed 5
seconds after it was asked to stop, a run is cleared while it runs, a scheduler takes a living task for a dead one
(`orphaned_tasks_check_interval`). Each agent holds an abstract unix socket (unix(7)) named after its run and task:
one process can bind a name, the kernel frees it at the end of the last holder, and no file stays behind.

It holds for one machine (one network namespace). Between machines only the journal's lease protects.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import time
from pathlib import Path

from mongo_backup.errors import ConflictError

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1
UNIX_SOCKETS = Path("/proc/net/unix")


def claim(*, run: str, task: str, alone: bool, patience: float) -> socket.socket:
    """Take the slot of a task; hand its descriptor to the agent's guard, and close it here.

    :param alone: wait also until no other task of this run has an agent.
    :param patience: seconds to wait for older agents to end.
    :raises ConflictError: they did not end.
    """
    prefix = f"mongo-backup-{os.getuid()}-{_digest(run)}-"
    name = prefix + _digest(task)
    slot = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline, told = time.monotonic() + patience, False
    try:
        while True:
            if bound(slot, name) and not (alone and _others(prefix, name)):
                return slot
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"another agent of this run still works beside {task} after {patience:.0f} s of waiting: "
                    "let it end, or end it, then clear this run"
                )
            if not told:
                logger.info("Waiting for an older agent of this run to end")
                told = True
            time.sleep(POLL_SECONDS)
    except BaseException:
        slot.close()
        raise


def bound(slot: socket.socket, name: str) -> bool:
    """Bind the name unless it is bound already; return whether this socket has it."""
    if slot.getsockname():
        return True
    try:
        slot.bind(f"\0{name}")
    except OSError:
        return False
    return True


def _others(prefix: str, own: str) -> bool:
    """Whether any other slot of the run is taken."""
    names = (line.rpartition(" ")[2] for line in UNIX_SOCKETS.read_text("utf-8", errors="replace").splitlines())
    return any(name.startswith(f"@{prefix}") and name != f"@{own}" for name in names)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]
