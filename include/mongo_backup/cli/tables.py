"""Tables and sizes for people."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with columns of equal width; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def megabytes(number: int) -> str:
    """`12.3 MB`."""
    return f"{number / 1e6:.1f} MB"
