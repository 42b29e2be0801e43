"""A TCP proxy that can cut, slow, stop and answer: the network between an agent and a server.

It sees what goes through it (neither TLS nor compression is in the way here), so it also knows the very moment at which
an agent sends a command, or is about to get its answer: a `Tap` waits for that and holds the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from mongo_backup.errors import TransientError
from sandbox.ports import LOOPBACK, lease_port

Result = TypeVar("Result")
Mode = Literal["pass", "silent", "slow", "refuse", "answer"]
_CHUNK = 65536
_SLOW_CHUNK = 4096
_SLOW_SECONDS = 0.05
"""A slow path: 50 ms for each packet of 4 KiB."""
_RESET = struct.pack("ii", 1, 0)


@dataclass
class Tap:
    """Waits for a moment on one of several proxies, and holds the connection there until `let_go`.

    :param pattern: found in what the agent sends.
    :param side: `request`: it is held before it is sent; `reply`: it was sent and done, its answer is held.
    :param skip: so many matches are let through.
    """

    pattern: bytes
    side: Literal["request", "reply"] = "request"
    skip: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    at: str = ""
    """Name of the proxy at which it was reached."""
    port: int = 0
    """The port of the process whose connection is held."""
    _free: threading.Event = field(default_factory=threading.Event)

    def matches(self, data: bytes) -> bool:
        """Whether this is the moment."""
        if self._free.is_set() or self.reached.is_set() or not re.search(self.pattern, data, re.DOTALL):
            return False
        self.skip -= 1
        return self.skip < 0

    async def hold(self, name: str, writer: asyncio.StreamWriter) -> None:
        """Stay here until somebody lets go.

        :param writer: towards the process that asked.
        """
        self.at = name
        self.port = writer.get_extra_info("peername")[1]
        self.reached.set()
        while not self._free.is_set():
            await asyncio.sleep(0.01)

    def let_go(self) -> None:
        """Let what is held go on, and hold nothing any more."""
        self._free.set()


class Network:
    """The thread that all proxies run in. A context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> Network:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _end() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the proxies' thread; return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class Proxy:
    """Listens on a port of its own and passes everything on to `host:port`.

    :param target: None: there is no server behind it, it answers by itself.
    """

    def __init__(self, network: Network, *, name: str, target: str | None) -> None:
        self.name = name
        self.tap: Tap | None = None
        self._network = network
        self._target = target
        self._lease = lease_port()
        self._mode: Mode = "pass"
        self._status = 503
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        network.do(self._listen())

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._lease.address

    def close(self) -> None:
        """End all connections and give the port back."""
        self.set("refuse")
        self._lease.release()

    def set(self, mode: Mode, *, status: int = 503) -> None:
        """What happens to all connections from now on.

        :param mode: `pass`; `silent`: nothing goes through any more, connections stay (a cut cable); `slow`;
            `refuse`: all are reset and no new one is taken (a server that is gone); `answer`: all are reset, new ones
            get an HTTP answer with `status`.
        """
        self._network.do(self._set(mode, status))

    async def _set(self, mode: Mode, status: int) -> None:
        self._mode, self._status = mode, status
        if mode in ("refuse", "answer"):
            for writer in list(self._writers):
                _reset(writer)
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        elif mode != "refuse" and self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._lease.port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "answer" or self._target is None:
                await self._answer(reader, writer)
            else:
                await self._connect(reader, writer)
        except (OSError, TransientError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one end is gone
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = (self._target or "").rpartition(":")
        their_reader, their_writer = await asyncio.open_connection(host, int(port))
        held: list[Tap] = []
        self._writers.add(their_writer)

        async def request(data: bytes) -> None:
            tap = self.tap
            if tap is None or not tap.matches(data):
                return
            if tap.side == "request":
                await tap.hold(self.name, writer)
            else:
                held.append(tap)

        async def reply(_data: bytes) -> None:
            if held:
                await held.pop().hold(self.name, writer)

        pumps = [
            asyncio.create_task(self._pump(reader, their_writer, request)),
            asyncio.create_task(self._pump(their_reader, writer, reply)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._writers.discard(their_writer)
            their_writer.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, look: Callable[[bytes], Awaitable[None]]
    ) -> None:
        """Pass on what one side sends, until its end."""
        while data := await reader.read(_CHUNK):
            await look(data)
            while self._mode == "silent":
                await asyncio.sleep(0.02)
            pieces = [data]
            if self._mode == "slow":
                pieces = [data[start : start + _SLOW_CHUNK] for start in range(0, len(data), _SLOW_CHUNK)]
            for piece in pieces:
                if self._mode == "slow":
                    await asyncio.sleep(_SLOW_SECONDS)
                writer.write(piece)
                await writer.drain()
        while self._mode == "silent":  # a cut cable does not tell of an end either
            await asyncio.sleep(0.02)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            if length:
                await reader.readexactly(int(length[1]))
            if self.tap is not None and self.tap.matches(head):
                await self.tap.hold(self.name, writer)
            status = self._status if self._mode == "answer" else 200
            body = b"" if status == 200 else b"<Error><Code>ServiceUnavailable</Code><Message>at work</Message></Error>"
            words = f"HTTP/1.1 {status} Status\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(words.encode() + body)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST, as a machine does that knows nothing of it."""
    with contextlib.suppress(OSError):
        there: socket.socket | None = writer.get_extra_info("socket")
        if there is not None:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
