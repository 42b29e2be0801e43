"""`mongo-backup discover` against a real cluster: its output is an object that loads, and no password is anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from mongo_backup.objects.loader import load_file
from sandbox.cluster import ShardedCluster
from sandbox.replica_set import ReplicaSet

pytestmark = pytest.mark.integration


def run(*words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mongo_backup", "discover", *words],
        input=stdin,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def uri(deployment: ReplicaSet | ShardedCluster, component: str, *, password: str | None = None) -> str:
    assert deployment.credentials is not None
    user = deployment.credentials.backup
    host = deployment.components[component].hosts[0]
    return f"mongodb://{quote(user.username)}:{quote(password or user.password, safe='')}@{host}/?authSource=admin"


def test_prints_an_app_binding_that_loads(sharded_cluster: ShardedCluster, tmp_path: Path) -> None:
    assert sharded_cluster.credentials is not None
    address = uri(sharded_cluster, "config")
    result = run("--name", "shop", MONGO_BACKUP_URI=address)
    assert result.returncode == 0, result.stderr
    (tmp_path / "shop.yaml").write_text(result.stdout)
    objects = load_file(tmp_path / "shop.yaml")
    assert objects.error_text() == ""
    spec = objects.app_bindings["shop"].spec
    assert spec.topology == "sharded"
    assert set(spec.shards) == {name for name in sharded_cluster.components if name != "config"}
    assert spec.credentials is not None
    assert spec.credentials.connection == "shop"
    password = sharded_cluster.credentials.backup.password
    for form in (password, quote(password, safe="")):
        assert form not in result.stdout + result.stderr


def test_every_way_to_give_the_uri_says_the_same(replica_set: ReplicaSet) -> None:
    address = uri(replica_set, next(iter(replica_set.components)))
    by_environment = run(MONGO_BACKUP_URI=address)
    by_stdin = run("-", stdin=address + "\n")
    by_argument = run(address)
    as_json = run("-", "--output", "json", stdin=address)
    assert by_environment.returncode == 0, by_environment.stderr
    assert by_environment.stdout == by_stdin.stdout == by_argument.stdout
    assert yaml.safe_load(as_json.stdout) == yaml.safe_load(by_stdin.stdout)


def test_a_wrong_password_is_one_line_without_it(replica_set: ReplicaSet) -> None:
    result = run("-", stdin=uri(replica_set, next(iter(replica_set.components)), password="wr@ng:p/ss"))
    assert result.returncode == 10
    assert result.stderr.startswith("error: ")
    assert "refused the user name or password" in result.stderr
    assert "wr@ng" not in result.stderr
    assert "wr%40ng" not in result.stderr


@pytest.mark.parametrize(
    "address", ["", "mongodb://user:se@cret/x@host:1", "mongodb://u:secretword/@host", "http://user:secretword@host"]
)
def test_a_uri_that_cannot_be_read(address: str) -> None:
    result = run("-", stdin=address)
    assert result.returncode == 10, result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "cret" not in result.stderr
