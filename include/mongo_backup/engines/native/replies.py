"""Takes a server's reply to `find` and `getMore` apart without decoding a document.

Source: https://bsonspec.org/spec.html. A batch is a BSON array: each document stands behind its type (3) and its number
as decimal text, so the length of what stands between two documents is known from the count alone.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from mongo_backup.archive.format import INT32
from mongo_backup.errors import PermanentError

_INT64 = struct.Struct("<q")
_STRING, _DOCUMENT, _ARRAY, _BINARY, _INT64_TYPE = 2, 3, 4, 5, 18
_FIXED_SIZES = {1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0}
_BATCHES = (b"firstBatch", b"nextBatch")
_GROUP_DOCUMENTS = 900
"""Documents taken at a time: few enough that they are still in the processor's cache when they are digested."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One reply: where its documents stand, and the cursor to ask for more (0: there is none)."""

    cursor_id: int
    reply: bytes
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes of the documents, with what stands between them."""
        return self.stop - self.start

    def groups(self) -> Iterator[list[bytes]]:
        """Yield the raw documents, some hundred at a time."""
        reply, position, stop = self.reply, self.start, self.stop
        unpack = INT32.unpack_from
        for key_length, number in _key_lengths():
            documents: list[bytes] = []
            append = documents.append
            for _ in range(number):
                if position >= stop:
                    break
                position += key_length
                end = position + unpack(reply, position)[0]
                append(reply[position:end])
                position = end
            if documents:
                yield documents
            if position >= stop:
                return


def read_batch(reply: bytes) -> Batch:
    """Find the documents and the cursor's id in a reply.

    :raises PermanentError: it is no reply to `find` or `getMore`.
    """
    for kind, name, position in _elements(reply, 4, len(reply)):
        if kind == _DOCUMENT and name == b"cursor":
            return _cursor(reply, position)
    raise PermanentError("the server's reply holds no cursor")


def _key_lengths() -> Iterator[tuple[int, int]]:
    """Yield how many bytes stand before a document, and for how many documents that holds."""
    for digits in count(1):
        numbers = 9 * 10 ** (digits - 1) + (digits == 1)
        for _ in range(max(1, numbers // _GROUP_DOCUMENTS)):
            yield 2 + digits, min(numbers, _GROUP_DOCUMENTS)


def _cursor(reply: bytes, position: int) -> Batch:
    end = position + INT32.unpack_from(reply, position)[0]
    cursor_id: int | None = None
    start = stop = 0
    for kind, name, place in _elements(reply, position + 4, end):
        if kind == _ARRAY and name in _BATCHES:
            start, stop = place + 4, place + INT32.unpack_from(reply, place)[0] - 1
        elif kind == _INT64_TYPE and name == b"id":
            cursor_id = _INT64.unpack_from(reply, place)[0]
    if cursor_id is None or not start:
        raise PermanentError("the server's reply holds no batch of documents")
    return Batch(cursor_id, reply, start, stop)


def _elements(raw: bytes, position: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield type, name and the value's position of each element of a document."""
    while position < end and (kind := raw[position]):
        stop = raw.index(b"\0", position + 1)
        name, position = raw[position + 1 : stop], stop + 1
        yield kind, name, position
        if kind in (_DOCUMENT, _ARRAY):
            position += INT32.unpack_from(raw, position)[0]
        elif kind == _STRING:
            position += 4 + INT32.unpack_from(raw, position)[0]
        elif kind == _BINARY:
            position += 5 + INT32.unpack_from(raw, position)[0]
        elif kind in _FIXED_SIZES:
            position += _FIXED_SIZES[kind]
        else:
            raise PermanentError(f"the server's reply holds BSON of type {kind}, which was not expected there")
