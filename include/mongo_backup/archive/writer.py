"""Writes an archive, one namespace after the other. The same calls make the same bytes: no time stands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastcrc.crc64 import xz

from mongo_backup.archive.format import MAGIC, TERMINATOR, ArchiveHeader, BlockHeader, PreludeEntry

Write = Callable[[bytes | memoryview], object]

FLUSH_BYTES = 128 * 1024
"""Small pieces are gathered up to this many bytes before they are handed on."""


class ArchiveWriter:
    """Hands the bytes of an archive to `write`.

    In this order: `prelude`; per namespace `begin`, `documents` as often as needed, `end`; at last `flush`.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._pieces: list[bytes | memoryview] = []
        self._size = 0
        self._namespace: tuple[str, str] | None = None
        self._crc = 0
        self.bytes = 0
        """Handed over so far, with what still waits for `flush`."""

    def prelude(self, header: ArchiveHeader, entries: Iterable[PreludeEntry]) -> None:
        """Write magic, header and what is to come."""
        self._put(MAGIC, header.encode(), *(entry.encode() for entry in entries), TERMINATOR)

    def begin(self, db: str, collection: str) -> None:
        """Begin a namespace, under the name that its data have."""
        if self._namespace is not None:
            raise ValueError(f"{'.'.join(self._namespace)} is not ended")
        self._namespace, self._crc = (db, collection), 0
        self._put(BlockHeader(db=db, collection=collection).encode())

    def documents(self, joined: bytes | memoryview) -> None:
        """Write documents of the namespace: raw BSON, one after the other, whole ones."""
        self._crc = xz(joined, self._crc)
        self._put(joined)

    def end(self) -> None:
        """End the namespace."""
        if self._namespace is None:
            raise ValueError("no namespace was begun")
        (db, collection), self._namespace = self._namespace, None
        self._put(TERMINATOR, BlockHeader(db=db, collection=collection, eof=True, crc=self._crc).encode(), TERMINATOR)

    def flush(self) -> None:
        """Hand over what still waits."""
        if self._pieces:
            pieces, self._pieces, self._size = self._pieces, [], 0
            self._write(b"".join(pieces) if len(pieces) > 1 else pieces[0])

    def _put(self, *pieces: bytes | memoryview) -> None:
        for piece in pieces:
            self.bytes += len(piece)
            if len(piece) >= FLUSH_BYTES:
                self.flush()
                self._write(piece)
                continue
            self._pieces.append(piece)
            self._size += len(piece)
            if self._size >= FLUSH_BYTES:
                self.flush()
