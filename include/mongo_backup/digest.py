"""An order-independent digest of documents.

The digest of a namespace is the sum, modulo 2**128, of XXH3-128 (https://xxhash.com, default seed) over each raw BSON
document. A sum does not depend on the order in which members return documents, and unlike XOR it notices doubled ones.
It finds accidents, not forgers: the repository's encryption and authentication guard against those.
"""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_128_intdigest

_MODULUS = 1 << 128


class DocumentDigest:
    """Adds up raw documents: count, bytes and digest."""

    __slots__ = ("_sum", "bytes", "documents")

    def __init__(self) -> None:
        self.documents = 0
        self.bytes = 0
        self._sum = 0

    def add(self, documents: Iterable[bytes | memoryview]) -> None:
        """Add raw BSON documents."""
        batch = documents if isinstance(documents, list) else list(documents)
        self.documents += len(batch)
        self.bytes += sum(map(len, batch))
        self._sum = (self._sum + sum(map(xxh3_128_intdigest, batch))) % _MODULUS

    def hexdigest(self) -> str:
        """The digest so far as 32 hexadecimal digits."""
        return f"{self._sum:032x}"
