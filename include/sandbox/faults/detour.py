"""`mongo-backup`, disturbed from within: `python -m sandbox.faults.detour agent STEP`.

Its connections to some addresses lead through others, and its clock may be wrong.

A replica set tells its members' addresses to whoever asks, so a proxy in an AppBinding is passed by at once. What the
agent's process is told of where an address leads is the one place where only its own traffic is caught.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from typing import Any

VARIABLE = "SANDBOX_DETOUR"
"""A JSON object: `host:port` and where it leads."""
CLOCK = "SANDBOX_CLOCK"
"""So many seconds is this process's time of day ahead of the machine's."""


def lead(routes: dict[str, str]) -> None:
    """Lead this process's connections to the named addresses elsewhere."""
    straight = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        there = routes.get(f"{host}:{port}")
        if there is not None:
            host, _, text = there.rpartition(":")
            port = int(text)
        return straight(host, port, *arguments, **options)

    socket.getaddrinfo = getaddrinfo


def set_clock(ahead: float) -> None:
    """Let this process's time of day be so many seconds ahead; what it starts has the machine's."""
    right = time.time
    time.time = lambda: right() + ahead


def main() -> int:
    """Run the command line; its exit code."""
    lead(json.loads(os.environ.pop(VARIABLE, "{}")))
    if ahead := float(os.environ.pop(CLOCK, "0")):
        set_clock(ahead)
    from mongo_backup.cli.main import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
