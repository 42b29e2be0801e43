"""A secret written into an object is refused, and is never repeated in an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from mongo_backup.objects.loader import load_directory

SECRET = "hunter2-s3cret"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("{provider: s3, bucket: b, secret_key: VALUE}", "spec.secret_key"),
        ("{provider: s3, bucket: b, credentials: VALUE}", "spec.credentials"),
        ("{provider: s3, bucket: b, credentials: {secret: VALUE}}", "spec.credentials.secret"),
        ("{provider: s3, bucket: b, credentials: {connection: [VALUE]}}", "spec.credentials.connection"),
        ("{provider: s3, bucket: b, credentials: {password: VALUE}}", "spec.credentials.password"),
        ("{provider: s3, bucket: b, endpoint: 'https://user:VALUE@store'}", "spec.endpoint"),
        ("{provider: rest, url: 'https://user:VALUE@rest:8000/'}", "spec.url"),
        ("{provider: s3, bucket: [user:VALUE@x]}", "spec.bucket"),
        ("{provider: s3, bucket: b, passwd: {a: VALUE}}", "spec.passwd"),
    ],
)
def test_in_a_storage(tmp_path: Path, spec: str, field: str) -> None:
    text = f"kind: BackupStorage\nmetadata: {{name: x}}\nspec: {spec}\n".replace("VALUE", SECRET)
    (tmp_path / "x.yaml").write_text(text)
    objects = load_directory(tmp_path)
    assert not objects.storages
    assert f"x.yaml:3: {field}" in objects.error_text()
    assert SECRET not in objects.error_text()
    assert SECRET not in repr(objects.errors)


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("{engine: mongodump, args: [--password=VALUE]}", "args[0]"),
        ("{engine: mongodump, args: [-pVALUE]}", "args[0]"),
        ("{engine: mongodump, args: [--password, VALUE]}", "args[0]"),
        ("{engine: mongodump, args: ['--uri=mongodb://u:VALUE@h/']}", "args[0]"),
        (
            "{pod_template: {spec: {containers: [{name: base, env: [{name: DB_PASSWORD, value: VALUE}]}]}}}",
            "pod_template.spec.containers[0].env[0].value",
        ),
    ],
)
def test_in_an_addon(tmp_path: Path, function: str, field: str) -> None:
    text = f"kind: Addon\nmetadata: {{name: x}}\nspec: {{functions: {{backup: {function}}}}}".replace("VALUE", SECRET)
    (tmp_path / "x.yaml").write_text(text)
    objects = load_directory(tmp_path)
    assert list(objects.addons) == ["mongodb"]
    assert f"x.yaml:3: spec.functions.backup.{field}" in objects.error_text()
    assert SECRET not in objects.error_text()


def test_what_only_points_to_a_secret_is_fine(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        """
kind: Addon
metadata: {name: x}
spec:
  functions:
    backup:
      pod_template:
        spec:
          containers:
            - name: base
              env:
                - {name: DB_PASSWORD_FILE, value: /run/secrets/db}
                - {name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}
    restore: {engine: mongodump, args: [--gzip, --numInsertionWorkersPerCollection=4]}
"""
    )
    assert load_directory(tmp_path).error_text() == ""


def test_in_a_host_of_an_app_binding(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        f"kind: AppBinding\nmetadata: {{name: x}}\nspec: {{topology: standalone, hosts: ['mongodb://u:{SECRET}@h:1']}}"
    )
    objects = load_directory(tmp_path)
    assert "write the address alone" in objects.error_text()
    assert SECRET not in objects.error_text()


def test_in_a_database_command_of_a_hook(tmp_path: Path) -> None:
    hooks = f"{{before: [{{name: a, mongo: {{command: {{createUser: x, pwd: {SECRET}, roles: []}}}}}}]}}"
    needs = "target: {name: x}, storage: {name: x}, encryption: {connection: x}"
    spec = f"{{{needs}, sessions: [{{name: a, hooks: {hooks}}}]}}"
    (tmp_path / "x.yaml").write_text(f"kind: BackupConfiguration\nmetadata: {{name: x}}\nspec: {spec}\n")
    text = load_directory(tmp_path).error_text()
    assert "spec.sessions[0].hooks.before[0].mongo.command.pwd: is not allowed" in text
    assert SECRET not in text
