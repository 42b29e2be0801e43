"""An order-independent digest of documents.

The digest of a namespace is the sum, modulo 2**128, of XXH3-128 (https://xxhash.com, default seed) over each raw BSON
document. A sum does not depend on the order in which members return documents, and unlike XOR it notices doubled ones.
It finds accidents, not forgers: the repository's encryption and authentication guard against those.
"""

from __future__ import annotations

from collections.abc import Iterable

from xxhash import xxh3_128_digest

_MODULUS = 1 << 128
_LANE_BITS = 192
_PADDING = b"\0" * (_LANE_BITS // 8 - 16)
"""Room for carries: 2**64 digests may be added in one lane."""


class DocumentDigest:
    """Adds up raw documents: count, bytes and digest."""

    __slots__ = ("_sum", "bytes", "documents")

    def __init__(self) -> None:
        self.documents = 0
        self.bytes = 0
        self._sum = 0

    def add(self, documents: Iterable[bytes | memoryview], *, size: int | None = None) -> None:
        """Add raw BSON documents.

        :param size: the sum of their lengths, if the caller has it.
        """
        batch = documents if isinstance(documents, list) else list(documents)
        self.documents += len(batch)
        self.bytes += sum(map(len, batch)) if size is None else size
        self._sum = (self._sum + _added_up(list(map(xxh3_128_digest, batch)))) % _MODULUS

    def hexdigest(self) -> str:
        """The digest so far as 32 hexadecimal digits."""
        return f"{self._sum:032x}"


def _added_up(digests: list[bytes]) -> int:
    """Return the sum of big-endian numbers: as one long number, folded in halves until one lane is left.

    Twice as fast as a sum of Python numbers, of which each would have to be made first.
    """
    lanes = len(digests)
    number = int.from_bytes(_PADDING.join(digests), "big")
    while lanes > 1:
        half = lanes // 2
        number = (number & ((1 << half * _LANE_BITS) - 1)) + (number >> half * _LANE_BITS)
        lanes -= half
    return number
