"""The proxy before a small server that answers each line with the same line."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from sandbox.faults.proxy import Network, Proxy, Tap

QUICK = 0.3


class Echo(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(line)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server, Network() as network:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = Proxy(network, name="echo", target=f"127.0.0.1:{server.server_address[1]}")
        yield found
        found.close()
        server.shutdown()


def connect(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def ask(connection: socket.socket, text: bytes = b"hello\n") -> bytes:
    connection.sendall(text)
    return connection.recv(100)


def silent(connection: socket.socket) -> bool:
    connection.settimeout(QUICK)
    try:
        connection.recv(100)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def test_it_passes_everything_on(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert (ask(one, b"one\n"), ask(other, b"other\n")) == (b"one\n", b"other\n")


def test_a_cut_path_is_silent_and_heals(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection)
        proxy.set("silent")
        connection.sendall(b"lost?\n")
        assert silent(connection)
        with connect(proxy) as late:  # it is taken, and nothing comes of it
            late.sendall(b"hello\n")
            assert silent(late)
        proxy.set("pass")
        assert connection.recv(100) == b"lost?\n"


def test_a_server_that_is_gone_resets_and_refuses(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        assert ask(connection)
        proxy.set("refuse")
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
    proxy.set("pass")
    with connect(proxy) as connection:
        assert ask(connection) == b"hello\n"


def test_it_answers_for_a_store(proxy: Proxy) -> None:
    proxy.set("answer", status=503)
    with connect(proxy) as connection:
        assert ask(connection, b"PUT /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc").startswith(b"HTTP/1.1 503 ")


def test_a_tap_holds_a_request_before_it_is_sent(proxy: Proxy) -> None:
    proxy.tap = tap = Tap(pattern=b"secret")
    with connect(proxy) as connection:
        assert ask(connection, b"plain\n") == b"plain\n"
        connection.sendall(b"secret\n")
        assert tap.reached.wait(5)
        assert (tap.at, tap.port) == ("echo", connection.getsockname()[1])
        assert silent(connection)
        tap.let_go()
        assert connection.recv(100) == b"secret\n"
        assert ask(connection, b"secret again\n") == b"secret again\n"


def test_a_tap_holds_the_answer_of_what_was_done(proxy: Proxy) -> None:
    proxy.tap = tap = Tap(pattern=b"second", side="reply")
    with connect(proxy) as connection, connect(proxy) as other:
        assert ask(connection, b"first\n") == b"first\n"
        connection.sendall(b"second\n")
        assert tap.reached.wait(5)
        assert silent(connection)
        assert ask(other, b"second\n") == b"second\n"  # one only
        tap.let_go()
        assert connection.recv(100) == b"second\n"
