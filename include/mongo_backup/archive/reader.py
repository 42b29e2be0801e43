"""Reads an archive of mongodump as a stream and checks all that the format lets it check.

What is wrong raises `ArchiveError` with the namespace and the byte offset. An archive is whole only when the iteration
ends by itself: a namespace's CRC stands behind its documents, so documents have been handed out before it is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fastcrc.crc64 import xz

from mongo_backup.archive.format import (
    INT32,
    MAGIC,
    MAX_DOCUMENT,
    MIN_DOCUMENT,
    VERSION,
    ArchiveHeader,
    BlockHeader,
    PreludeEntry,
)
from mongo_backup.errors import ArchiveError

READ_BYTES = 1024 * 1024
"""Asked of the source at a time; documents are handed out in lists of about as many bytes."""


class Source(Protocol):
    """A binary stream, such as a pipe: empty bytes mean its end."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Prelude:
    """The first event: what the archive holds."""

    header: ArchiveHeader
    entries: tuple[PreludeEntry, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Some documents of one namespace, in their order. A namespace has any number of blocks, also none."""

    db: str
    collection: str
    """The name that the data have: `system.buckets.<name>` for a time series."""
    documents: list[bytes]
    """Raw BSON, each."""
    joined: bytes
    """The same documents in one piece."""


@dataclass(frozen=True, slots=True)
class NamespaceEnd:
    """All documents of the namespace were handed out, and their CRC is right."""

    db: str
    collection: str
    documents: int
    bytes: int


Form = TypeVar("Form", ArchiveHeader, PreludeEntry, BlockHeader)
Event = Prelude | Block | NamespaceEnd


@dataclass(slots=True)
class _Progress:
    """What of a namespace has been read."""

    documents: int = 0
    bytes: int = 0
    crc: int = 0


def read_archive(source: Source) -> Iterator[Event]:
    """Yield what the archive holds: one `Prelude`, `Block`s, and a `NamespaceEnd` for each namespace.

    :raises ArchiveError: it is no archive, ends too early or is damaged; also when a namespace that it announced is
        missing, comes again after its end, or was never announced.
    """
    return _Reader(source).events()


class _Reader:
    """The state of one reading: `_buffer[_position:]` waits to be used, `_consumed` bytes stood before `_buffer`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._position = 0
        self._consumed = 0
        self._place = "the prelude"
        self._open: dict[tuple[str, str], _Progress] = {}
        self._awaited: set[tuple[str, str]] = set()

    def events(self) -> Iterator[Event]:
        prelude = self._prelude()
        self._awaited = {(entry.db, entry.data_collection) for entry in prelude.entries}
        yield prelude
        while not self._at_end():
            self._place = "the header of a block"
            header = self._decoded(BlockHeader)
            key = (header.db, header.collection)
            self._place = f"{header.db}.{header.collection}"
            if key in self._awaited:
                self._awaited.remove(key)
                self._open[key] = _Progress()
            elif key not in self._open:
                raise self._damaged("a block of a namespace that was not announced, or is at its end already")
            if header.eof:
                yield self._end(header)
            else:
                yield from self._documents(header, self._open[key])
        self._place = "the end"
        if missing := sorted(".".join(key) for key in self._awaited | self._open.keys()):
            raise self._damaged(f"the archive ends before these namespaces do: {', '.join(missing[:5])}")

    def _prelude(self) -> Prelude:
        if not self._fill(4) or self._take(4) != MAGIC:
            raise ArchiveError("this is no archive of mongodump: it does not begin with 6d e2 99 81")
        header = self._decoded(ArchiveHeader)
        if header.version != VERSION:
            raise self._damaged(f"its format version is {header.version!r}, and only {VERSION!r} is known")
        entries: list[PreludeEntry] = []
        while (length := self._length()) != -1:
            entries.append(self._decoded(PreludeEntry, length))
        self._position += 4
        if len({(entry.db, entry.data_collection) for entry in entries}) != len(entries):
            raise self._damaged("a namespace is announced twice")
        return Prelude(header, tuple(entries))

    def _end(self, header: BlockHeader) -> NamespaceEnd:
        progress = self._open.pop((header.db, header.collection))
        if self._length() != -1:
            raise self._damaged("documents after the namespace's end")
        self._position += 4
        if progress.crc != header.crc:
            raise self._damaged(
                f"the checksum of its {progress.documents} documents is {progress.crc:016x}, "
                f"and {header.crc:016x} is what was written"
            )
        return NamespaceEnd(header.db, header.collection, progress.documents, progress.bytes)

    def _documents(self, header: BlockHeader, progress: _Progress) -> Iterator[Block]:
        while True:
            start = self._position
            documents, length = self._split()
            if documents:
                joined = self._buffer[start : self._position]
                progress.documents += len(documents)
                progress.bytes += len(joined)
                progress.crc = xz(joined, progress.crc)
                yield Block(header.db, header.collection, documents, joined)
                del joined
            del documents  # the next ones may be as large
            if length == -1:
                self._position += 4
                return
            if not self._fill(length or 4):
                raise self._truncated()

    def _split(self) -> tuple[list[bytes], int | None]:
        """Take all whole documents of the buffer; return them and the length that stands next (None: not read yet)."""
        buffer, position = self._buffer, self._position
        last = len(buffer) - 4
        unpack = INT32.unpack_from
        documents: list[bytes] = []
        append = documents.append
        length: int | None = None
        while position <= last:
            length = unpack(buffer, position)[0]
            end = position + length
            if not MIN_DOCUMENT <= length <= MAX_DOCUMENT:
                break
            if end > last + 4:
                self._position = position
                return documents, length
            if buffer[end - 1]:
                self._position = position
                raise self._damaged("a document does not end where its length says")
            append(buffer[position:end])
            position = end
            length = None
        self._position = position
        if length not in (None, -1):
            raise self._damaged(f"a document of {length} bytes cannot be")
        return documents, length

    def _length(self) -> int:
        """The length that stands next, without taking it; -1 is the terminator."""
        if not self._fill(4):
            raise self._truncated()
        length: int = INT32.unpack_from(self._buffer, self._position)[0]
        if length != -1 and not MIN_DOCUMENT <= length <= MAX_DOCUMENT:
            raise self._damaged(f"a document of {length} bytes cannot be")
        return length

    def _decoded(self, form: type[Form], length: int = 0) -> Form:
        length = length or self._length()
        if length == -1:
            raise self._damaged("a terminator where a document was expected")
        if not self._fill(length):
            raise self._truncated()
        try:
            return form.decode(self._take(length))
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def _take(self, size: int) -> bytes:
        self._position += size
        return self._buffer[self._position - size : self._position]

    def _fill(self, size: int) -> bool:
        """Have `size` unused bytes in the buffer; False when the source ends before."""
        have = len(self._buffer) - self._position
        if have >= size:
            return True
        pieces = [self._buffer[self._position :]]
        while have < size:
            piece = self._source.read(max(READ_BYTES, size - have))
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        self._consumed += self._position
        self._buffer, self._position = b"".join(pieces), 0
        return have >= size

    def _at_end(self) -> bool:
        return not self._fill(1)

    def _offset(self) -> int:
        return self._consumed + self._position

    def _damaged(self, what: str) -> ArchiveError:
        return ArchiveError(f"the archive is damaged in {self._place} near byte {self._offset()}: {what}")

    def _truncated(self) -> ArchiveError:
        have = self._consumed + len(self._buffer)
        return ArchiveError(f"the archive is cut off in {self._place}: it ends at byte {have}")
