from __future__ import annotations

import socket
import subprocess
import sys

from sandbox.ports import FIRST_PORT, LAST_PORT, LOOPBACK, lease_port, listening_on
from sandbox.ports import _try_lease as try_lease

TRY = "import sys; from sandbox.ports import _try_lease; print(_try_lease(int(sys.argv[1])) is not None)"


def can_lease_elsewhere(port: int) -> bool:
    """Whether another process gets the port."""
    return subprocess.check_output([sys.executable, "-c", TRY, str(port)], text=True).strip() == "True"


def test_a_lease_is_exclusive_here_and_in_other_processes_until_released() -> None:
    with lease_port() as lease:
        assert FIRST_PORT <= lease.port <= LAST_PORT
        assert try_lease(lease.port) is None
        assert not can_lease_elsewhere(lease.port)
    assert can_lease_elsewhere(lease.port)


def test_a_port_that_somebody_listens_on_is_not_leased() -> None:
    with lease_port() as lease:
        port = lease.port
    with socket.create_server((LOOPBACK, port)):
        assert try_lease(port) is None
    again = try_lease(port)
    assert again is not None
    again.release()


def test_a_server_can_bind_a_leased_port() -> None:
    with lease_port() as lease, socket.create_server((LOOPBACK, lease.port)):
        pass


def test_servers_listen_on_another_address_while_told_so() -> None:
    with listening_on("127.0.0.2"), lease_port() as lease:
        assert lease.address == f"127.0.0.2:{lease.port}"
    with lease_port() as lease:
        assert lease.address == f"{LOOPBACK}:{lease.port}"
