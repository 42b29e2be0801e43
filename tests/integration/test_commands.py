"""`mongo-backup release` and `mongo-backup snapshots` on a real replica set and a real repository."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from mongo_backup.cli.main import main
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.target import occupy
from mongo_backup.locks.window import read_window, set_window
from mongo_backup.manifest.model import ClusterTime, ComponentRecord, Manifest
from mongo_backup.manifest.store import archive_file, commit
from mongo_backup.objects.app_binding import AppBinding, TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.loader import load_directory
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode
from sandbox.replica_set import ReplicaSet
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration
OWNER = "backup.shop.daily/manual__1"
PASSWORD = "p@ss:/%?#& 'word\""


@pytest.fixture
def folder(tmp_path: Path, replica_set: ReplicaSet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Objects of the replica set and a local repository, and their credentials, as the environment names them."""
    documents: list[dict[str, Any]] = [
        replica_set.app_binding("shop"),
        {"kind": "BackupStorage", "metadata": {"name": "disk"}, "spec": {"provider": "local", "path": str(tmp_path)}},
        {
            "kind": "BackupConfiguration",
            "metadata": {"name": "shop"},
            "spec": {
                "target": {"name": "shop"},
                "storage": {"name": "disk"},
                "encryption": {"connection": "repository"},
                "sessions": [{"name": "daily"}],
            },
        },
    ]
    objects = tmp_path / "objects"
    objects.mkdir()
    (objects / "all.yaml").write_text(yaml.safe_dump_all(documents))
    values = {
        f"connection:{name}": {"username": user.username, "password": user.password}
        for name, user in replica_set.connections().items()
    }
    credentials = tmp_path / "credentials.json"
    credentials.touch(mode=0o600)
    credentials.write_text(json.dumps({**values, "connection:repository": {"password": PASSWORD}}))
    monkeypatch.setenv("MONGO_BACKUP_CONFIG", str(objects))
    monkeypatch.setenv("MONGO_BACKUP_CREDENTIALS", str(credentials))
    return objects


@pytest.fixture
def connector(folder: Path, replica_set: ReplicaSet) -> Iterator[Connector]:
    text = (folder.parent / "credentials.json").read_text()
    credentials = Credentials.model_validate({"values": json.loads(text)})
    binding = AppBinding.model_validate(replica_set.app_binding("shop"))
    with Connector(binding=binding, credentials=credentials) as connector:
        yield connector


def hold(connector: Connector, host: str, *, lease_seconds: float = 600) -> int:
    """Raise a member's window the way a backup does, and return what it was."""
    former = read_window(connector, host)
    entry = JournalEntry(
        kind=JournalKind.HISTORY_WINDOW,
        owner=f"{OWNER} begun 2026-01-31T02:00:07.000005+00:00",
        component="rs0",
        host=host,
        former=former,
        value=former + 77,
        lease_seconds=lease_seconds,
    )
    Journal(connector).write(entry)
    set_window(connector, host, former + 77)
    return former


def test_release_undoes_what_the_journal_says(
    connector: Connector, replica_set: ReplicaSet, capsys: pytest.CaptureFixture[str]
) -> None:
    host = replica_set.component.hosts[1]
    former = hold(connector, host)
    assert main(["release", "--target", "shop", "--dry-run"]) == 0
    assert f"shop: alive: the history window of rs0 at {host}, held by {OWNER} begun" in capsys.readouterr().out
    assert main(["release"]) == 0  # its lease has not expired: it belongs to a run that may be alive
    assert capsys.readouterr().out.endswith("shop: 0 undone; 1 left alone, their lease has not ended\n")
    assert main(["release", "--target", "shop", "--force"]) == 10
    assert "name it with --run" in capsys.readouterr().err
    assert main(["release", "--run", "backup.shop.daily/manual__2", "--force"]) == 0
    assert capsys.readouterr().out == "shop: 0 undone\n"
    assert read_window(connector, host) == former + 77
    assert main(["release", "--run", OWNER, "--force"]) == 0
    assert capsys.readouterr().out.endswith("shop: 1 undone\n")
    assert read_window(connector, host) == former
    assert Journal(connector).entries() == ()


def test_release_by_default_undoes_what_has_expired(
    connector: Connector, replica_set: ReplicaSet, capsys: pytest.CaptureFixture[str]
) -> None:
    host = replica_set.component.hosts[1]
    former = hold(connector, host, lease_seconds=0.1)
    wait_until(lambda: not Journal(connector).entries()[0].alive, what="the lease has ended", timeout=10)
    occupy(connector, owner="restore.shop/manual__1")
    assert main(["release"]) == 0
    assert capsys.readouterr().out.endswith("shop: 1 undone; 1 left alone, their lease has not ended\n")
    assert read_window(connector, host) == former
    assert [entry.owner for entry in Journal(connector).entries()] == ["restore.shop/manual__1"]
    assert main(["release", "--run", "restore.shop/manual__1", "--force"]) == 0
    assert Journal(connector).entries() == ()


def test_a_deployment_that_does_not_answer_does_not_stop_the_others(
    folder: Path, connector: Connector, capsys: pytest.CaptureFixture[str]
) -> None:
    away = {"kind": "AppBinding", "metadata": {"name": "away"}, "spec": {"topology": "standalone", "hosts": ["h:1"]}}
    (folder / "away.yaml").write_text(yaml.safe_dump(away))
    assert main(["release"]) == 12
    printed = capsys.readouterr()
    assert printed.out == "shop: 0 undone\n"
    assert "away: the journal of h:1 cannot be reached" in printed.err
    assert "not done: away" in printed.err


def test_release_names_the_app_bindings_that_exist(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["release", "--target", "shpo"]) == 10
    assert "no AppBinding 'shpo'; these exist: shop (did you mean shop?)" in capsys.readouterr().err


def test_credentials_that_others_can_read_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder.parent / "credentials.json").chmod(0o644)
    assert main(["release"]) == 10
    assert "others can read" in capsys.readouterr().err


def test_snapshots_lists_complete_sets(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resolved = load_directory(folder).resolve("shop")
    credentials = Credentials.model_validate(
        {"values": json.loads((folder.parent / "credentials.json").read_text())},
    )
    with Repository.of(
        configuration=resolved.configuration, storage=resolved.storage, credentials=credentials
    ) as repository:
        repository.ensure()
        for name in ("first", "second"):
            label = Label(set_id=name, component="rs0", part="archive", session="daily")
            with BackupSink(repository, label, archive_file("rs0")) as sink:
                sink.write(b"some bytes")
                archive_id = sink.finish().snapshot_id
            if name == "first":
                commit(repository, a_manifest(name, archive_id))
    assert main(["snapshots", "list", "shop"]) == 0
    head, row, end = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["SET", "SESSION"]
    assert row.split() == [
        *("first", "daily", "2023-11-14", "22:13:20Z", "(1700000000.5)", "locked", "rs0", "3", "2.5", "MB", "-"),
    ]
    assert end == "1 complete sets, 1 without a manifest (of failed backups, or of one that runs)"
    assert main(["snapshots", "list", "shop", "--output", "json", "--session", "daily"]) == 0
    assert [each["set_id"] for each in json.loads(capsys.readouterr().out)] == ["first"]


def a_manifest(set_id: str, archive_id: str) -> Manifest:
    now = datetime.now(UTC)
    member = ChosenMember(
        component="rs0", role=ComponentRole.REPLICA_SET, host="a:1", state="SECONDARY", mode=ReadMode.LOCK
    )
    component = ComponentRecord(
        name="rs0",
        role=ComponentRole.REPLICA_SET,
        member=member,
        engine="native",
        consistency=Consistency.LOCKED,
        archive_id=archive_id,
        archive_file=archive_file("rs0"),
        documents=3,
        bytes=2_500_000,
        bytes_added=10,
        seconds=1,
        read_seconds=1,
    )
    return Manifest(
        set_id=set_id,
        configuration="shop",
        session="daily",
        started=now,
        finished=now,
        topology=TopologyKind.REPLICA_SET,
        server_version="6.0.5",
        consistency=Consistency.LOCKED,
        cluster_time=ClusterTime(t=1_700_000_000, i=5),
        components=(component,),
        core_version="0",
        restic_version="0",
    )
