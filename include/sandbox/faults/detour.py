"""`mongo-backup`, its connections to some addresses led through others: `python -m sandbox.faults.detour agent STEP`.

A replica set tells its members' addresses to whoever asks, so a proxy in an AppBinding is passed by at once. What the
agent's process is told of where an address leads is the one place where only its own traffic is caught.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

VARIABLE = "SANDBOX_DETOUR"
"""A JSON object: `host:port` and where it leads."""


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


def main() -> int:
    """Run the command line; its exit code."""
    lead(json.loads(os.environ.pop(VARIABLE, "{}")))
    from mongo_backup.cli.main import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
