"""`mongo-backup objects`: what it prints and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mongo_backup.cli.main import main
from mongo_backup.objects.schema import schema_text

GOOD = """
kind: BackupStorage
metadata: {name: store}
spec: {provider: s3, bucket: backups, prefix: mongodb}
---
kind: RetentionPolicy
metadata: {name: month}
spec: {daily: 30, within: 36h}
---
kind: AppBinding
metadata: {name: shop}
spec: {topology: standalone, hosts: ["db:27017"]}
---
kind: BackupConfiguration
metadata: {name: shop}
spec:
  target: {name: shop}
  storage: {name: store}
  encryption: {connection: repository}
  sessions: [{name: daily, schedule: "@daily"}, {name: manual, consistency: snapshot}]
"""


def test_check_prints_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.yaml").write_text(GOOD)
    assert main(["objects", "check", str(tmp_path)]) == 0
    assert capsys.readouterr().out == (
        "KIND                 NAME   FILE       WHAT\n"
        "BackupStorage        store  shop.yaml  s3 backups mongodb\n"
        "AppBinding           shop   shop.yaml  standalone\n"
        "RetentionPolicy      month  shop.yaml  daily 30, within 1d12h\n"
        "BackupConfiguration  shop   shop.yaml  shop -> store: daily (@daily, locked), manual (by trigger, snapshot)\n"
        "4 objects in 1 files, 0 errors\n"
    )


def test_check_ends_with_10_when_something_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.yaml").write_text(GOOD.replace("daily: 30", "dayly: 30"))
    assert main(["objects", "check", str(tmp_path)]) == 10
    shown = capsys.readouterr().out
    assert "shop.yaml:8: spec.dayly: is no field here; did you mean `daily`?" in shown
    assert "RetentionPolicy month: it and all that needs it are missing" in shown
    assert shown.endswith("3 objects in 1 files, 1 errors\n")


def test_check_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(GOOD.replace("daily: 30", "dayly: 30"))
    assert main(["objects", "check", str(tmp_path), "--output", "json"]) == 10
    shown = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in shown["objects"]] == ["store", "shop", "shop"]
    assert shown["errors"] == [
        {
            "file": "a.yaml",
            "line": 8,
            "field": "spec.dayly",
            "kind": "RetentionPolicy",
            "name": "month",
            "message": "is no field here; did you mean `daily`?",
        }
    ]


def test_files_and_folders_are_one_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, rest = GOOD.split("---", 1)
    (tmp_path / "store.yaml").write_text(first)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "shop.yaml").write_text(rest)
    assert main(["objects", "check", str(tmp_path / "store.yaml"), str(tmp_path / "more")]) == 0
    assert main(["objects", "check", str(tmp_path / "store.yaml"), str(tmp_path)]) == 0  # a file given twice is one
    assert main(["objects", "check", str(tmp_path / "more")]) == 10
    assert "there is no BackupStorage 'store'" in capsys.readouterr().out


def test_a_path_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["objects", "check", str(tmp_path / "nothing")]) == 10
    assert capsys.readouterr().err.startswith("error: there is no file or folder ")


def test_schema_to_standard_output_and_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["objects", "schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    assert main(["objects", "schema", "--output", str(tmp_path / "schema.json")]) == 0
    assert (tmp_path / "schema.json").read_text() == schema_text()
    assert main(["objects", "schema", "--output", str(tmp_path / "no" / "schema.json")]) == 10
