"""A collection's metadata as canonical extended JSON text, written and read without losing a type.

The form is mongodump's (`mongodump/metadata_dump.go` of the Database Tools 100.18): `{"options": ..., "indexes": [...],
"uuid": "...", "collectionName": "...", "type": "..."}`, `options` and `uuid` only where there are any. The types are
those of https://github.com/mongodb/specifications/blob/master/source/extended-json/extended-json.md.

The driver's own reader is not used as it stands: it takes `{"$regex": "^a", "$ne": "ab"}`, which is a condition of a
view or of a partial index, for a regular expression and loses the rest. Here only the exact canonical forms become
values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, cast

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError

from mongo_backup.errors import ArchiveError

_EXACT: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_CANONICAL = json_util.JSONOptions(
    json_mode=json_util.JSONMode.CANONICAL, datetime_conversion=DatetimeConversion.DATETIME_MS
)
_FORMS = {
    frozenset(names)
    for names in (
        ("$oid",),
        ("$symbol",),
        ("$numberInt",),
        ("$numberLong",),
        ("$numberDouble",),
        ("$numberDecimal",),
        ("$binary",),
        ("$code",),
        ("$code", "$scope"),
        ("$timestamp",),
        ("$regularExpression",),
        ("$dbPointer",),
        ("$date",),
        ("$minKey",),
        ("$maxKey",),
        ("$undefined",),
    )
}


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Options, indexes and UUID of a collection; documents are raw BSON."""

    options: bytes
    indexes: tuple[bytes, ...]
    uuid: str | None
    """Hexadecimal, 32 digits."""
    type: str
    collection: str


def format_metadata(*, collection: str, type: str, options: bytes, indexes: tuple[bytes, ...], uuid: str | None) -> str:
    """Return the text for an archive's prelude.

    :param options: raw BSON.
    :param indexes: raw BSON of each.
    """
    fields: dict[str, Any] = {}
    if len(options) > 5:
        fields["options"] = bson.decode(options, _EXACT)
    fields["indexes"] = [bson.decode(index, _EXACT) for index in indexes]
    if uuid:
        fields["uuid"] = uuid
    fields |= {"collectionName": collection, "type": type}
    return json_util.dumps(fields, json_options=_CANONICAL, ensure_ascii=False, separators=(",", ":"))


def parse_metadata(text: str, *, namespace: str) -> Metadata:
    """Return what a text of a prelude says; an empty one says nothing.

    :raises ArchiveError: it is no metadata.
    """
    try:
        fields = json.loads(text or "{}", object_pairs_hook=_value)
        return Metadata(
            options=bson.encode(fields.get("options") or {}),
            indexes=tuple(map(bson.encode, fields.get("indexes") or ())),
            uuid=fields.get("uuid") or None,
            type=fields.get("type") or "collection",
            collection=fields.get("collectionName") or "",
        )
    except (ValueError, TypeError, AttributeError, KeyError, BSONError) as error:
        raise ArchiveError(f"the metadata of {namespace} in the archive cannot be read: {error}") from error


def extended_json(raw: bytes) -> dict[str, Any]:
    """Return a raw BSON document as relaxed extended JSON, for manifests that people read."""
    text = json_util.dumps(bson.decode(raw, _EXACT), json_options=json_util.RELAXED_JSON_OPTIONS)
    return cast(dict[str, Any], json.loads(text))


def _value(pairs: list[tuple[str, Any]]) -> Any:
    fields = dict(pairs)
    if frozenset(fields) not in _FORMS:
        return fields
    return json_util.object_hook(fields, _CANONICAL)
