from __future__ import annotations

import hashlib
import io
import random
from collections import defaultdict
from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mongo_backup.archive.format import MAGIC, MAX_DOCUMENT, TERMINATOR, ArchiveHeader, BlockHeader, PreludeEntry
from mongo_backup.archive.reader import Block, NamespaceEnd, Prelude, Source, read_archive
from mongo_backup.archive.writer import ArchiveWriter
from mongo_backup.errors import ArchiveError

Documents = dict[tuple[str, str], list[bytes]]


class Dribble:
    """A pipe that hands out little at a time."""

    def __init__(self, data: bytes, sizes: random.Random) -> None:
        self._rest = io.BytesIO(data)
        self._sizes = sizes

    def read(self, size: int, /) -> bytes:
        return self._rest.read(min(size, self._sizes.randint(1, 700)))


def read(source: Source | bytes) -> tuple[Prelude, Documents]:
    """Read to the end; check that what the ends of namespaces say is so."""
    events = read_archive(io.BytesIO(source) if isinstance(source, bytes) else source)
    prelude = next(events)
    assert isinstance(prelude, Prelude)
    documents: Documents = defaultdict(list)
    for event in events:
        assert not isinstance(event, Prelude)
        known = documents[event.db, event.collection]
        if isinstance(event, Block):
            assert b"".join(event.documents) == event.joined
            known += event.documents
        else:
            assert (event.documents, event.bytes) == (len(known), sum(map(len, known)))
    return prelude, dict(documents)


def prelude_size(archive: bytes) -> int:
    position = len(MAGIC)
    while archive[position : position + 4] != TERMINATOR:
        position += int.from_bytes(archive[position : position + 4], "little")
    return position + 4


def boundaries(archive: bytes) -> list[int]:
    """Where documents of the structure (not those of collections) begin and end, and some of the others."""
    found, position, inside, seen = [0, 2, 4], 4, True, 0
    while position < len(archive):
        length = int.from_bytes(archive[position : position + 4], "little")
        if length == 0xFFFFFFFF:
            found += [position, position + 2, position + 4]
            position, inside, seen = position + 4, False, 0
            continue
        if not inside or seen in (0, 1, 5) or length > 100_000:
            found += [position, position + 1, position + 4, position + length // 2]
        position, inside, seen = position + length, True, seen + 1
    return sorted({cut for cut in found if cut < len(archive)})


def test_a_real_archive_reads_with_exactly_its_truth(real_archive: bytes, truth: dict[str, dict[str, Any]]) -> None:
    prelude, documents = read(real_archive)
    assert (prelude.header.server_version, prelude.header.tool_version) == ("6.0.5", "100.18.0")
    compared = 0
    for namespace, fact in truth.items():
        db, _, collection = namespace.partition(".")
        if "sha256_of_sorted_documents" in fact:
            raw = documents[db, collection]
            assert len(raw) == fact["count"]
            assert hashlib.sha256(b"".join(sorted(raw))).hexdigest() == fact["sha256_of_sorted_documents"]
            compared += 1
    assert compared == len(truth) - 3  # a time series, a view and system.views have no documents of their own
    entries = {(entry.db, entry.collection): entry for entry in prelude.entries}
    assert {(entry.db, entry.data_collection) for entry in prelude.entries} == set(documents)
    for namespace, fact in truth.items():
        db, _, collection = namespace.partition(".")
        if (entry := entries.get((db, collection))) is not None:
            assert entry.type == fact["type"]
            names = sorted(bson.decode(index)["name"] for index in entry.metadata().indexes)
            assert names == fact.get("indexes", [])


def test_what_is_read_does_not_depend_on_how_much_comes_at_a_time(
    small_archive: bytes, small_documents: Documents
) -> None:
    for seed in range(20):
        assert read(Dribble(small_archive, random.Random(seed)))[1] == small_documents


def test_an_own_archive_comes_back(small_archive: bytes, small_documents: Documents) -> None:
    prelude, documents = read(small_archive)
    assert documents == small_documents
    assert [(entry.collection, entry.type) for entry in prelude.entries] == [
        ("empty", "collection"),
        ("orders", "collection"),
        ("series", "timeseries"),
        ("view", "view"),
    ]


def test_an_archive_without_collections() -> None:
    pieces: list[bytes] = []
    writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
    writer.prelude(ArchiveHeader(server_version="6.0.5", tool_version="test"), [])
    writer.flush()
    assert read(b"".join(pieces))[1] == {}


def test_cut_off_at_any_byte_it_is_an_error(small_archive: bytes) -> None:
    for size in range(len(small_archive)):
        with pytest.raises(ArchiveError):
            read(small_archive[:size])


def test_a_real_archive_cut_off_at_its_structure_or_anywhere_is_an_error(real_archive: bytes) -> None:
    cuts = boundaries(real_archive)
    dice = random.Random(3)
    cuts = dice.sample(cuts, 60) + [dice.randrange(len(real_archive)) for _ in range(20)]
    for cut in cuts:
        with pytest.raises(ArchiveError, match=r"byte \d+|no archive") as raised:
            read(real_archive[:cut])
        assert len(raised.value.message) < 500


def test_a_cut_names_namespace_and_offset(small_archive: bytes) -> None:
    inside = small_archive.index(b"x" * 11)
    with pytest.raises(ArchiveError, match=rf"cut off in shop\.orders: it ends at byte {inside}"):
        read(small_archive[:inside])
    last = BlockHeader(db="shop", collection="view").encode()
    with pytest.raises(ArchiveError, match=r"before these namespaces do: shop\.view"):
        read(small_archive[: small_archive.index(last)])


def test_any_flipped_bit_behind_the_prelude_is_an_error(small_archive: bytes) -> None:
    start = prelude_size(small_archive)
    for position in range(start, len(small_archive)):
        for bit in range(8):
            damaged = bytearray(small_archive)
            damaged[position] ^= 1 << bit
            with pytest.raises(ArchiveError):
                read(bytes(damaged))


def test_a_flipped_bit_in_the_prelude_never_changes_documents_unseen(
    small_archive: bytes, small_documents: Documents
) -> None:
    """The format has no checksum over the prelude: texts in it may change. Documents and names may not."""
    names = {("shop", "series"), ("shop", "orders"), ("shop", "view"), ("crm", "empty")}
    for position in range(prelude_size(small_archive)):
        damaged = bytearray(small_archive)
        damaged[position] ^= 1 << (position % 8)
        try:
            prelude, documents = read(bytes(damaged))
        except ArchiveError:
            continue
        assert documents == small_documents
        assert {(entry.db, entry.collection) for entry in prelude.entries} == names


@settings(max_examples=30, deadline=None)
@given(position=st.integers(min_value=0), value=st.integers(min_value=1, max_value=255))
def test_any_changed_byte_of_a_real_archives_data_is_an_error(real_archive: bytes, position: int, value: int) -> None:
    data = real_archive[: 3 * 1024 * 1024]
    start = prelude_size(data)
    damaged = bytearray(real_archive)
    damaged[start + position % (len(data) - start)] ^= value
    with pytest.raises(ArchiveError):
        read(bytes(damaged))


@pytest.mark.parametrize("start", [b"", b"m", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"{}", MAGIC[::-1], b"\x00" * 100])
def test_foreign_bytes_are_no_archive(start: bytes, small_archive: bytes) -> None:
    for rest in (b"", small_archive[4:]):
        with pytest.raises(ArchiveError, match="no archive of mongodump"):
            read(start + rest)


def parts(*blocks: bytes, names: tuple[str, ...] = ("a",)) -> bytes:
    header = ArchiveHeader(server_version="6.0.5", tool_version="test").encode()
    entries = [PreludeEntry(db="d", collection=name).encode() for name in names]
    return MAGIC + header + b"".join(entries) + TERMINATOR + b"".join(blocks)


def begin(name: str) -> bytes:
    return BlockHeader(db="d", collection=name).encode()


def end(name: str) -> bytes:
    return BlockHeader(db="d", collection=name, eof=True).encode() + TERMINATOR


EMPTY = begin("a") + TERMINATOR + end("a")


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (parts(), r"before these namespaces do: d\.a"),
        (parts(begin("a") + TERMINATOR), r"before these namespaces do: d\.a"),
        (parts(EMPTY, begin("b") + TERMINATOR), r"d\.b .*not announced"),
        (parts(EMPTY, begin("a") + TERMINATOR), r"d\.a .*at its end already"),
        (parts(EMPTY, end("a")), r"d\.a .*at its end already"),
        (parts(end("a")[:-4] + bson.encode({}) + TERMINATOR), r"documents after the namespace's end"),
        (parts(EMPTY, b"\x00"), r"cut off"),
        (parts(EMPTY, b"trailing bytes"), r"cannot be"),
        (parts(EMPTY, TERMINATOR), r"a terminator where a document was expected"),
        (parts(begin("a") + (MAX_DOCUMENT + 1).to_bytes(4, "little")), r"a document of 16793601 bytes cannot be"),
        (parts(begin("a") + b"\x04\x00\x00\x00"), r"a document of 4 bytes cannot be"),
        (parts(begin("a") + b"\xfe\xff\xff\xff"), r"a document of -2 bytes cannot be"),
        (parts(begin("a") + b"\x05\x00\x00\x00\x01"), r"does not end where its length says"),
        (parts(bson.encode({"db": "d", "collection": "a", "EOF": False})), r"not just db, collection"),
        (parts(bson.encode({"db": 1, "collection": "a", "EOF": False, "CRC": 0})), r"field db is missing or no text"),
        (parts(EMPTY, names=("a", "a")), r"announced twice"),
        (
            MAGIC + ArchiveHeader(server_version="9", tool_version="t", version="0.2").encode() + TERMINATOR,
            r"version is '0\.2'",
        ),
    ],
)
def test_what_cannot_be_in_an_archive(archive: bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words):
        read(archive)


def test_blocks_of_several_namespaces_may_alternate() -> None:
    one, two = bson.encode({"_id": 1}), bson.encode({"_id": 2})
    pieces: list[bytes] = []
    for name in ("a", "b"):
        writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
        writer.begin("d", name)
        writer.documents(one + two)
        writer.end()
        writer.flush()
    ends = [piece[piece.index(two) + len(two) + 4 :] for piece in pieces]
    blocks = [begin(name) + document + TERMINATOR for document in (one, two) for name in ("a", "b")]
    found = list(read_archive(io.BytesIO(parts(*blocks, *ends, names=("a", "b")))))
    assert [event.documents for event in found if isinstance(event, NamespaceEnd)] == [2, 2]
    assert [event.documents for event in found if isinstance(event, Block)] == [[one], [one], [two], [two]]


def test_the_largest_document_there_can_be() -> None:
    body = bson.encode({"_id": 1, "pad": b""})
    document = bson.encode({"_id": 1, "pad": b"x" * (MAX_DOCUMENT - len(body))})
    assert len(document) == MAX_DOCUMENT
    pieces: list[bytes] = []
    writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
    writer.begin("d", "a")
    writer.documents(document)
    writer.end()
    writer.flush()
    assert read(parts(*pieces))[1] == {("d", "a"): [document]}
