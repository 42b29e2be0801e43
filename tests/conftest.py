"""Servers that tests share. Nothing starts before a test asks for it; everything is gone when the session ends.

A test that breaks or dirties a deployment makes its own: `with ReplicaSet(members=2) as deployment: ...`.
Tests that share one use databases of their own and put back what they change.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import ShardedCluster
from sandbox.component import SetSettings
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.s3 import S3Store
from sandbox.seed import Seeded, seed

StandIn = Callable[[str, str], Callable[[], dict[str, Any]]]

UNCHAINED = SetSettings(chaining=False)
"""Many tests lock a secondary: the others go on."""

_RECORD = """
import json, os, pathlib, stat, sys
folder = pathlib.Path({folder!r})
config = pathlib.Path(next(a for a in sys.argv if a.startswith("--config=")).partition("=")[2])
(folder / "called.json").write_text(json.dumps(dict(
    arguments=sys.argv[1:],
    environment=dict(os.environ),
    config=config.read_text("utf-8"),
    mode=stat.S_IMODE(config.stat().st_mode),
    path=str(config),
)))
"""
"""A program that notes how it was called."""


@pytest.fixture(scope="session")
def sharded_cluster() -> Iterator[ShardedCluster]:
    """Config server and two shards of three members each, with authentication."""
    with ShardedCluster(settings=UNCHAINED) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def replica_set() -> Iterator[ReplicaSet]:
    """Three members, with authentication."""
    with ReplicaSet(settings=UNCHAINED) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def standalone() -> Iterator[Standalone]:
    """One server with authentication and without an oplog."""
    with Standalone(parameters={"enableTestCommands": 1}) as deployment:
        yield deployment


@pytest.fixture(scope="session")
def s3_store() -> Iterator[S3Store]:
    """An S3 store with the bucket `S3Store.DEFAULT_BUCKET`."""
    with S3Store() as store:
        yield store


@pytest.fixture(scope="session")
def seeded_cluster(sharded_cluster: ShardedCluster) -> tuple[ShardedCluster, Seeded]:
    """The shared sharded cluster, filled once by `sandbox.seed`."""
    return sharded_cluster, seed(sharded_cluster, sharded_time_series=True)


@pytest.fixture(scope="session")
def seeded_replica_set(replica_set: ReplicaSet) -> tuple[ReplicaSet, Seeded]:
    """The shared replica set, filled once by `sandbox.seed`."""
    return replica_set, seed(replica_set)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Put a program of that name and body (Python) on PATH; returns what tells how it was called."""

    def make(name: str, body: str) -> Callable[[], dict[str, Any]]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{_RECORD.format(folder=str(tmp_path))}\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

        def called() -> dict[str, Any]:
            found: dict[str, Any] = json.loads((tmp_path / "called.json").read_text())
            return found

        return called

    return make
