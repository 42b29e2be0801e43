"""Documents whose top-level `Timestamp(0, 0)` must survive.

A server replaces an empty timestamp at the top level of an inserted or replacing document by the current time
(https://www.mongodb.com/docs/manual/reference/bson-types/#timestamps; `applyOps` does so too). An update by a pipeline
does not, so such a document is written again by `$replaceWith` after its insert.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

_EMPTY = Timestamp(0, 0)
_ZEROS = bytes(9)
"""The end of a field's name and eight zero bytes: cheap to look for, and without it there is no empty timestamp."""
_TYPE = b"\x11"
"""A timestamp's type; even cheaper to look for, and rare in text."""
_CANDIDATE = re.compile(rb"\x11[^\x00]*\x00{9}")


def holds_empty_timestamp(document: bytes) -> bool:
    """Whether a raw document has an empty timestamp at its top level (that of `_id` is never replaced)."""
    if _ZEROS not in document or _CANDIDATE.search(document) is None:
        return False
    return any(value == _EMPTY for name, value in RawBSONDocument(document).items() if name != "_id")


def with_empty_timestamps(documents: Sequence[bytes], *, joined: bytes) -> list[bytes]:
    """Those documents that must be written again after their insert.

    :param joined: the same documents in one piece, in which it is cheap to see that there are none.
    """
    if _TYPE not in joined or _ZEROS not in joined or _CANDIDATE.search(joined) is None:
        return []
    return [document for document in documents if holds_empty_timestamp(document)]


def replacement(document: bytes) -> dict[str, Any]:
    """The update statement that writes an inserted document again, every byte as it was."""
    raw = RawBSONDocument(document)
    return {"q": {"_id": {"$eq": raw["_id"]}}, "u": [{"$replaceWith": {"$literal": raw}}], "multi": False}
