"""The objects as one JSON Schema (draft 2020-12): for editors, and for tools that write objects.

It describes what people write: durations as text such as `6h`, addresses as `host:port`. What a schema cannot say
(references between objects, fields that exclude each other) is said by `mongo-backup objects check`.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelField

from mongo_backup.objects.base import API_VERSION
from mongo_backup.objects.kinds import KINDS, AnyObject
from mongo_backup.objects.quantities import format_duration

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Defaults as people write them, and no titles that only repeat a field's name."""

    def encode_default(self, dft: Any) -> Any:
        """A duration as `6h`."""
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: the name says it already."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """`kind` must be written, though the models can do without."""
        return super().field_is_required(field, total) or _is_kind(field)


def _is_kind(field: ModelField) -> bool:
    inner: Any = field["schema"]
    while "schema" in inner:
        inner = inner["schema"]
    return inner.get("type") == "literal" and inner.get("expected", [None])[0] in KINDS


def objects_schema() -> dict[str, Any]:
    """The schema of one document: one of all kinds."""
    schema: JsonSchemaValue = TypeAdapter[Any](AnyObject).json_schema(schema_generator=_Generator)
    schema.pop("discriminator", None)  # OpenAPI's word, unknown to JSON Schema
    for definition in schema["$defs"].values():
        definition.pop("title", None)
        for name, field in definition.get("properties", {}).items():
            field.pop("discriminator", None)
            if name == "kind":
                del field["default"]
    return {
        "$schema": _DIALECT,
        "title": f"Objects of {API_VERSION}",
        "description": "One YAML document: a BackupStorage, AppBinding, Addon, RetentionPolicy or BackupConfiguration.",
        **schema,
    }


def schema_text() -> str:
    """The schema as the text that is committed in `docs/reference/objects.schema.json`."""
    return json.dumps(objects_schema(), indent=2, ensure_ascii=False) + "\n"
