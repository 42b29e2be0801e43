"""A stand-in for mongos: none comes from a package registry.

It speaks MongoDB's wire protocol (OP_MSG, and OP_QUERY for a driver's first greeting), says in `hello` that it is a
mongos, turns a router's own commands into those that a real mongos sends to the config server, and relays everything
else, logins too, to the config server's primary. It routes no data: it is there to prove that the product talks to a
router when there is one.
Sources: MongoDB manual, "MongoDB Wire Protocol"; `_configsvr*` commands of the MongoDB 6.0 source.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import bson
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongo_backup.errors import TransientError
from sandbox.ports import LOOPBACK, lease_port

logger = logging.getLogger(__name__)

Document = dict[str, Any]

_HEADER = struct.Struct("<iiii")  # length, request id, response to, opcode
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CHECKSUM_PRESENT, _MORE_TO_COME = 1, 2
_REPLY_PREFIX = 20  # OP_REPLY: flags, cursor id, starting from, number returned
_MEMBER_FIELDS = (
    *("setName", "setVersion", "hosts", "passives", "arbiters", "primary", "me", "secondary", "electionId"),
    *("lastWrite", "configsvr", "topologyVersion", "compression", "hidden", "tags", "isImplicitDefaultMajorityWC"),
)
_GREETINGS = {"hello", "isMaster", "ismaster"}
_RENAMED = {f"balancer{act}": f"_configsvrBalancer{act}" for act in ("Start", "Stop", "Status")}


@dataclass(frozen=True)
class Message:
    """One message of the wire protocol, as far as it must be understood here."""

    request_id: int
    response_to: int
    opcode: int
    body: bytes

    @property
    def answered(self) -> bool:
        """Whether the sender waits for an answer."""
        return self.opcode != _OP_MSG or not struct.unpack_from("<I", self.body)[0] & _MORE_TO_COME

    def _document_at(self) -> int:
        """Where the command or the answer begins."""
        if self.opcode == _OP_MSG:
            return 5  # flags, and the kind of the first section: 0, the body
        if self.opcode == _OP_REPLY:
            return _REPLY_PREFIX
        return self.body.index(b"\0", 4) + 1 + 8  # OP_QUERY: flags, collection name, skip, limit

    def document(self) -> Document:
        """Return the command or the answer."""
        at = self._document_at()
        length = struct.unpack_from("<i", self.body, at)[0]
        return bson.decode(self.body[at : at + length])

    def with_document(self, document: Document) -> Message:
        """Return the same message with another command or answer."""
        at = self._document_at()
        length = struct.unpack_from("<i", self.body, at)[0]
        body = self.body[:at] + bson.encode(document) + self.body[at + length :]
        if self.opcode == _OP_MSG:
            flags = struct.unpack_from("<I", body)[0]
            body = struct.pack("<I", flags & ~_CHECKSUM_PRESENT) + (
                body[4:-4] if flags & _CHECKSUM_PRESENT else body[4:]
            )
        return Message(self.request_id, self.response_to, self.opcode, body)

    def encode(self) -> bytes:
        """Return the message's bytes."""
        length = _HEADER.size + len(self.body)
        return _HEADER.pack(length, self.request_id, self.response_to, self.opcode) + self.body


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Read one message."""
    length, request_id, response_to, opcode = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    return Message(request_id, response_to, opcode, await reader.readexactly(length - _HEADER.size))


class MongosStandIn:
    """Listens on a free port of 127.0.0.1 from `with` (or `start`) to its end (or `close`).

    :param config_hosts: the members of the config server.
    :param replica_set: its name. TLS is not relayed.
    """

    def __init__(self, config_hosts: Sequence[str], *, replica_set: str = "config") -> None:
        self._hosts = list(config_hosts)
        self._config_server = f"{replica_set}/{','.join(config_hosts)}"
        self._lease = lease_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mongos stand-in", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.commands: list[str] = []
        """Names of the commands that clients sent, in order."""

    @property
    def host(self) -> str:
        """Its address."""
        return self._lease.address

    # Life

    def start(self) -> MongosStandIn:
        """Begin to listen."""
        self._thread.start()
        self._run(self._listen()).result(timeout=10)
        return self

    def close(self) -> None:
        """End every connection and give the port back."""
        if self._thread.is_alive():
            self._run(self._end()).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
        self._loop.close()
        self._lease.release()

    def __enter__(self) -> MongosStandIn:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, what: Any) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(what, self._loop)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._lease.port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Relaying

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            primary = await asyncio.to_thread(self._primary)
            name, _, port = primary.rpartition(":")
            behind_reader, behind_writer = await asyncio.open_connection(name, int(port))
            try:
                while True:
                    request = await read_message(reader)
                    await self._exchange(request, writer, behind_reader, behind_writer)
            finally:
                behind_writer.close()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or we end
        except TransientError as error:
            logger.warning("mongos stand-in: %s", error)
        finally:
            writer.close()

    async def _exchange(
        self,
        request: Message,
        writer: asyncio.StreamWriter,
        behind_reader: asyncio.StreamReader,
        behind_writer: asyncio.StreamWriter,
    ) -> None:
        command = request.document()
        name = next(iter(command))
        self.commands.append(name)
        asked, translate = self._translated(name, command)
        behind_writer.write((request if asked is None else request.with_document(asked)).encode())
        await behind_writer.drain()
        if not request.answered:
            return
        answer = await read_message(behind_reader)
        if translate is not None and (document := answer.document()).get("ok"):
            answer = answer.with_document(translate(document))
        writer.write(answer.encode())
        await writer.drain()

    def _translated(
        self, name: str, command: Document
    ) -> tuple[Document | None, Callable[[Document], Document] | None]:
        """What to ask of the config server instead, and how to turn its answer."""
        if name in _GREETINGS:
            return None, _as_router
        if name in _RENAMED:
            rest = {key: value for key, value in command.items() if key != name}
            return {_RENAMED[name]: 1, **rest}, None
        if name == "listShards":
            rest = {key: value for key, value in command.items() if key in ("lsid", "$clusterTime", "$readPreference")}
            return {"find": "shards", "batchSize": 1000, "$db": "config", **rest}, _as_shards
        if name == "serverStatus":
            return None, self._as_router_status
        return None, None

    def _as_router_status(self, answer: Document) -> Document:
        return answer | {"process": "mongos", "sharding": {"configsvrConnectionString": self._config_server}}

    def _primary(self) -> str:
        for host in self._hosts:
            client: MongoClient[Document] = MongoClient(host, directConnection=True, serverSelectionTimeoutMS=2000)
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return host
            except PyMongoError as error:
                logger.info("mongos stand-in: %s: %s", host, error)
            finally:
                client.close()
        raise TransientError(f"no primary among {', '.join(self._hosts)}")


def _as_router(answer: Document) -> Document:
    kept = {key: value for key, value in answer.items() if key not in _MEMBER_FIELDS}
    return kept | {"msg": "isdbgrid", ("isWritablePrimary" if "isWritablePrimary" in answer else "ismaster"): True}


def _as_shards(answer: Document) -> Document:
    rest = {key: value for key, value in answer.items() if key != "cursor"}
    return {"shards": answer["cursor"]["firstBatch"], **rest}
