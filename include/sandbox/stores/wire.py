"""The wire between a client and a store: an HTTP proxy that can cut it, hold it or answer in the store's place.

A client uses it as the store's address, or as its proxy (`CONNECT`, https_proxy): then TLS ends here, with a
certificate for the name that the client asked for. So clients that know only the cloud's own addresses reach a server
on this machine, by the same way and with the same checks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

from sandbox.ports import lease_port

_CHUNK = 1 << 16
_HEAD_END = b"\r\n\r\n"
_START_SECONDS = 10

Refusal = Callable[[bytes], bytes | None]
"""Looks at the head of a connection's first request; an answer of its own, or None to let it through."""


def http_answer(status: str, body: str = "") -> bytes:
    """An HTTP answer that ends its connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body.encode())}"
    return f"{head}\r\nConnection: close\r\n\r\n{body}".encode()


class Wire:
    """Takes connections at `address` and passes them to `target`.

    :param target: host and port of the store.
    :param certificate: PEM file with key and certificate for clients that come by `CONNECT`.
    :param refuse: what the store would refuse and the server behind it lets through.
    """

    def __init__(
        self, target: tuple[str, int], *, certificate: Path | None = None, refuse: Refusal | None = None
    ) -> None:
        self._target = target
        self._refuse = refuse
        self._lease = lease_port()
        self._tls_lease = lease_port()
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._open: set[asyncio.StreamWriter] = set()
        self._servers: list[asyncio.Server] = []
        self._troubles = 0
        self._cut_after: int | None = None
        self._held = False
        self.troubled = 0
        """Connections that got trouble so far."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Host and port."""
        return self._lease.address

    # Faults

    def trouble(self, times: int, *, cut_after: int | None = None) -> None:
        """End the connections that are open, and give the next so many trouble.

        :param cut_after: reset them after the client has sent so many bytes; None: answer 503.
        """
        self._do(self._set_trouble(times, cut_after))

    def hold(self, held: bool) -> None:
        """Take connections and answer none of them, or no longer."""
        self._held = held

    async def _set_trouble(self, times: int, cut_after: int | None) -> None:
        self._troubles, self._cut_after = times, cut_after
        for writer in list(self._open):
            writer.transport.abort()

    # Work

    async def _listen(self) -> None:
        host = self._lease.host
        self._servers = [await asyncio.start_server(self._plain, host, self._lease.port)]
        if self._tls is not None:
            self._servers.append(await asyncio.start_server(self._http, host, self._tls_lease.port, ssl=self._tls))

    async def _plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _one_end_is_gone():
            head = await reader.readuntil(_HEAD_END)
            if not head.startswith(b"CONNECT "):
                await self._answer(head, reader, writer)
            elif self._tls is not None:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._pass_on(b"", reader, writer, (self._lease.host, self._tls_lease.port), None)
        writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _one_end_is_gone():
            await self._answer(await reader.readuntil(_HEAD_END), reader, writer)
        writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self._held:
            await asyncio.sleep(0.02)
        limit = None
        if self._troubles > 0:
            self._troubles -= 1
            self.troubled += 1
            limit = self._cut_after
            if limit is None:
                writer.write(http_answer("503 Service Unavailable"))
                return
        if self._refuse is not None and (answer := self._refuse(head)) is not None:
            writer.write(answer)
            return
        await self._pass_on(head, reader, writer, self._target, limit)

    async def _pass_on(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: tuple[str, int],
        limit: int | None,
    ) -> None:
        their_reader, their_writer = await asyncio.open_connection(*target)
        self._open |= {writer, their_writer}
        try:
            their_writer.write(head)
            there = asyncio.create_task(_pump(reader, their_writer, limit))
            back = asyncio.create_task(_pump(their_reader, writer, None))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if there.done() and not there.cancelled() and there.result():
                await asyncio.wait({back})  # the client said all, not heard all
            for pump in (there, back):
                pump.cancel()
        finally:
            self._open -= {writer, their_writer}
            if limit is not None:
                writer.transport.abort()
            their_writer.close()

    # Life

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_SECONDS)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End everything and give the ports back. May be called again."""
        if self._thread.is_alive():
            self._do(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_SECONDS)
            self._loop.close()
        for lease in (self._lease, self._tls_lease):
            lease.release()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _one_end_is_gone() -> contextlib.suppress:
    return contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> bool:
    """Pass on until the end, then say so to the other side; return whether it came to that."""
    passed = 0
    with _one_end_is_gone():
        while data := await reader.read(_CHUNK):
            passed += len(data)
            if limit is not None and passed > limit:
                return False
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return True
    return False
