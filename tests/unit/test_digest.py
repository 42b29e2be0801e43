from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_128_intdigest

from mongo_backup.digest import DocumentDigest

Documents = list[bytes]


@given(st.lists(st.binary(max_size=40), max_size=60), st.integers(min_value=0))
def test_it_is_the_sum_of_xxh3_over_the_documents_however_they_come(documents: Documents, seed: int) -> None:
    expected = sum(map(xxh3_128_intdigest, documents)) % (1 << 128)
    at_once, one_by_one = DocumentDigest(), DocumentDigest()
    at_once.add(documents, size=sum(map(len, documents)))
    shuffled = random.Random(seed).sample(documents, len(documents))
    for document in shuffled:
        one_by_one.add(iter([memoryview(document)]))
    for digest in (at_once, one_by_one):
        assert digest.hexdigest() == f"{expected:032x}"
        assert (digest.documents, digest.bytes) == (len(documents), sum(map(len, documents)))


def test_doubled_changed_and_missing_documents_show() -> None:
    documents = [b"one", b"two", b"three"]
    seen = set()
    for changed in (
        documents,
        [*documents, b"two"],
        [*documents, b"two", b"two"],
        documents[1:],
        [b"One", *documents[1:]],
    ):
        digest = DocumentDigest()
        digest.add(changed)
        seen.add(digest.hexdigest())
    assert len(seen) == 5


def test_nothing_is_zero() -> None:
    assert DocumentDigest().hexdigest() == "0" * 32
