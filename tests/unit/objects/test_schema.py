"""The exported JSON Schema accepts what the loader accepts, refuses what it refuses, and explains every field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from mongo_backup.objects.schema import objects_schema, schema_text

ROOT = Path(__file__).parents[3]
BINDING = """
kind: AppBinding
metadata: {name: shop}
spec:
  topology: replica_set
  replica_set: {replica_set: rs0, hosts: ["db1:27017"]}
"""
CONFIGURATION = """
apiVersion: mongo-backup/v1
kind: BackupConfiguration
metadata: {name: shop}
spec:
  target: {name: shop}
  storage: {name: s3}
  encryption: {connection: repository}
  sessions: [{name: daily, backup_timeout: 1h30m}]
"""


def errors(text: str) -> list[str]:
    return [error.message for error in Draft202012Validator(objects_schema()).iter_errors(yaml.safe_load(text))]


def test_is_a_valid_schema_and_the_committed_one_is_current() -> None:
    Draft202012Validator.check_schema(objects_schema())
    committed = ROOT / "docs" / "reference" / "objects.schema.json"
    assert committed.read_text("utf-8") == schema_text(), (
        "run: mongo-backup objects schema --output docs/reference/objects.schema.json"
    )


@pytest.mark.parametrize("text", [BINDING, CONFIGURATION])
def test_accepts_what_people_write(text: str) -> None:
    assert errors(text) == []


@pytest.mark.parametrize(
    "text",
    [
        BINDING.replace("AppBinding", "Binding"),
        BINDING.replace("kind: AppBinding", ""),
        BINDING.replace("db1:27017", "db1"),
        BINDING.replace("replica_set: rs0, ", ""),
        BINDING.replace("topology: replica_set", "topology: shards"),
        CONFIGURATION.replace("1h30m", "90"),
        CONFIGURATION.replace("1h30m", "'90'"),
        CONFIGURATION.replace("daily", "Daily"),
        CONFIGURATION.replace("target:", "targets:"),
        CONFIGURATION.replace("{name: s3}", "s3"),
    ],
)
def test_refuses_what_is_wrong(text: str) -> None:
    assert errors(text)


def test_defaults_are_written_as_people_write_them() -> None:
    session = objects_schema()["$defs"]["Session"]["properties"]
    assert session["max_lock_time"]["default"] == "6h"
    assert session["consistency"]["enum"] == ["locked", "snapshot"]
    assert "PT" not in schema_text()


def test_every_field_is_described() -> None:
    definitions: dict[str, Any] = objects_schema()["$defs"]
    undescribed = [
        f"{name}.{field}"
        for name, definition in definitions.items()
        for field, content in definition.get("properties", {}).items()
        if not content.get("description")
        # a field with the same description as its type is told once
        and not definitions[content.get("$ref", "").rpartition("/")[2]].get("description")
    ]
    assert undescribed == []
    assert all(definition["description"] for definition in definitions.values())
