"""Free TCP ports that no other test run takes between the choice and the use: on 127.0.0.1, unless told otherwise.

A lease is an abstract unix socket named after the port (unix(7)): only one process can bind a name, the kernel
gives it back when the process ends however it ends, and no file is left behind. The ports lie below Linux's
range of ephemeral ports (from 32768), so an outgoing connection never takes one either.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from mongo_backup.errors import TransientError

LOOPBACK = "127.0.0.1"
FIRST_PORT, LAST_PORT = 20_000, 29_999

_hosts = [LOOPBACK]


@contextmanager
def listening_on(host: str) -> Iterator[None]:
    """Let the servers that are made in here listen on another address of this machine, such as one that pods reach."""
    _hosts.append(host)
    try:
        yield
    finally:
        _hosts.pop()


class PortLease:
    """A port that is ours until `release` or the end of the process."""

    def __init__(self, port: int, holder: socket.socket, *, host: str = LOOPBACK) -> None:
        self.port = port
        self.host = host
        self._holder = holder

    @property
    def address(self) -> str:
        """Host and port, as MongoDB writes them."""
        return f"{self.host}:{self.port}"

    def release(self) -> None:
        """Give the port back. May be called again."""
        self._holder.close()

    def __enter__(self) -> PortLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _try_lease(port: int, host: str = LOOPBACK) -> PortLease | None:
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0mongo-backup-sandbox-port-{port}")
    except OSError:
        holder.close()
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: only a listener is in the way
        try:
            probe.bind((host, port))
        except OSError:
            holder.close()
            return None
    return PortLease(port, holder, host=host)


def lease_port() -> PortLease:
    """Lease one free port.

    :raises TransientError: all ports of the range are taken.
    """
    count = LAST_PORT - FIRST_PORT + 1
    start = random.randrange(count)
    for step in range(count):
        if lease := _try_lease(FIRST_PORT + (start + step) % count, _hosts[-1]):
            return lease
    raise TransientError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {_hosts[-1]}")
