"""Keeps one agent: ends it when the task that started it lets go or dies. Run as a script, in a session of its own.

``python -I -S guard.py <leash> <log> <grace> <passed> <program> <arguments>``

`leash` is the reading end of a pipe whose only writing end belongs to the task. It closes when the task closes it, and
by the kernel's hand when the task dies in whatever way: that is the one sign to end the agent. Airflow kills a task's
process 5 seconds after asking it to stop, which is too short for an agent that is unlocking; this process outlives it
and waits `grace` seconds between SIGTERM and SIGKILL.

`log` is a second reading end of the agent's log pipe. While the task lives, the task reads; after its death this
process does, so that an agent busy with its undo neither blocks on a full pipe nor fails on a closed one.

`passed` are the agent's own descriptors, separated by commas. Exit status: the agent's own; 128 + n for signal n.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

PARENT_VARIABLE = "MONGO_BACKUP_PARENT"  # as in `mongo_backup.agent.lifetime`, which a bare Python cannot import
POLL_SECONDS = 0.2


def main() -> int:
    """Start the agent, wait for its end or for that of the task, and leave nothing of its group behind."""
    leash, log, passed = int(sys.argv[1]), int(sys.argv[2]), [int(each) for each in sys.argv[4].split(",")]
    grace, parent = float(sys.argv[3]), os.getppid()
    told = _self_pipe()
    agent = subprocess.Popen(
        sys.argv[5:],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=passed,
        start_new_session=True,
        env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
    )
    for descriptor in passed:  # the secrets are the agent's alone
        os.close(descriptor)
    ended = os.pidfd_open(agent.pid)
    ready, _, _ = select.select([leash, ended, told], [], [])
    if ended not in ready:
        _signal_group(agent.pid, signal.SIGTERM)
        _wait(ended, log, parent=parent, deadline=time.monotonic() + grace)
    # Also after its own end: what is left of its group (a restic, a mongodump) ends here. The agent is not waited
    # for yet, so its process id cannot belong to anybody else.
    _signal_group(agent.pid, signal.SIGKILL)
    status = agent.wait()
    return status if status >= 0 else 128 - status


def _self_pipe() -> int:
    """Return a descriptor that becomes readable when somebody signals this process: the machine is going down."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    return reading


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _wait(ended: int, log: int, *, parent: int, deadline: float) -> None:
    """Wait for the agent's end, reading its log in place of a task that is gone."""
    while time.monotonic() < deadline:
        orphaned = os.getppid() != parent
        ready, _, _ = select.select([ended, log] if orphaned else [ended], [], [], POLL_SECONDS)
        if ended in ready:
            return
        if log in ready and not os.read(log, 65536):
            time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
