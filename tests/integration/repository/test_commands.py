"""`mongo-backup repository` and `mongo-backup retention` on a real repository; no MongoDB is asked."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mongo_backup.cli.main import main
from mongo_backup.manifest.catalog import MANIFEST
from mongo_backup.objects.storage import LocalStore
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository
from sandbox import objects as written

pytestmark = pytest.mark.integration

OLD, NEW = "p@ss:/%?#& 'word\"", "n%w p@ss:/?#& '\""
Run = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Objects, credentials, and a repository with three sets, as a listing shows them."""
    binding = {
        "kind": "AppBinding",
        "metadata": {"name": "sandbox"},
        "spec": {"topology": "standalone", "hosts": ["a:1"]},
    }
    session = {"retention_policy": {"name": "keep"}}
    documents = [
        {**written.API, **binding},
        written.local_storage(tmp_path),
        written.retention_policy(last=1, marks=["audit"]),
        written.configuration(session=session),
    ]
    written.write_objects(tmp_path / "objects", *documents)
    monkeypatch.setenv("MONGO_BACKUP_CONFIG", str(tmp_path / "objects"))
    write_password(tmp_path, OLD, monkeypatch)
    with opened(tmp_path, OLD) as repository:
        repository.ensure()
        for name in ("one", "two", "three"):
            label = Label(set_id=name, component=MANIFEST, part="manifest", session="manual")
            with BackupSink(repository, label, "/manifest.json") as sink:
                sink.write(name.encode())
                sink.finish()
    return tmp_path


def write_password(folder: Path, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "credentials.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({f"connection:{written.ENCRYPTION_CONNECTION}": {"password": password}}))
    monkeypatch.setenv("MONGO_BACKUP_CREDENTIALS", str(path))


def opened(folder: Path, password: str) -> Repository:
    store = LocalStore(provider="local", path=str(folder))
    return Repository(store=store, credential=None, password=password, name="shop", host="shop")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str, code: int = 0) -> str:
        found = main(list(words))
        output = capsys.readouterr()
        assert found == code, output.err
        return output.out if code == 0 else output.err

    return call


def test_rotating_the_password(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (old,) = json.loads(run("repository", "key", "list", "shop", "--output", "json"))
    assert old["current"]
    assert "is that of the password in use" in run("repository", "key", "remove", "shop", old["id"], code=10)
    assert "the new password is empty" in run("repository", "key", "add", "shop", code=10)
    monkeypatch.setenv("MONGO_BACKUP_NEW_PASSWORD", f" {NEW}")
    assert "begins or ends with a blank" in run("repository", "key", "add", "shop", code=10)
    assert len(run("repository", "key", "list", "shop").splitlines()) == 1, "and no key of half of it is left"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{NEW}\n"))
    said = run("repository", "key", "add", "shop", "--password-file", "-")
    assert NEW not in said
    write_password(folder, NEW, monkeypatch)
    keys = run("repository", "key", "list", "shop").splitlines()
    assert sorted(line[0] for line in keys) == [" ", "*"]
    assert f"key {old['id']} is gone" in run("repository", "key", "remove", "shop", old["id"])
    assert "0 keys have an id that begins with 'ffff'" in run("repository", "key", "remove", "shop", "ffff", code=10)
    write_password(folder, OLD, monkeypatch)
    assert "password is wrong" in run("repository", "key", "list", "shop", code=10)


def test_retention_by_hand(folder: Path, run: Run) -> None:
    run("retention", "pin", "shop", "one", "--reason", "before the migration")
    assert "was pinned already" in run("retention", "pin", "shop", "one")
    run("retention", "mark", "shop", "two", "audit")
    assert "is no mark" in run("retention", "mark", "shop", "two", "a,b", code=10)
    plan = json.loads(run("retention", "plan", "shop", "--output", "json"))["manual"]
    assert {each["set_id"]: each["reasons"] for each in plan["kept"]} == {
        "three": ["the newest", "last 1 of 1"],
        "two": ["marked audit"],
        "one": ["pinned"],
    }
    run("retention", "unmark", "shop", "two", "audit")
    shown = run("retention", "plan", "shop")
    assert "session manual, policy keep:" in shown
    assert "forgets two (" in shown
    assert "2 kept, 1 to be forgotten" in shown
    assert "2 kept, 1 forgotten" in run("retention", "apply", "shop", "--session", "manual")
    run("retention", "unpin", "shop", "one")
    assert "1 kept, 1 forgotten" in run("retention", "apply", "shop")
    with opened(folder, OLD) as repository:
        assert {each.tag("set") for each in repository.snapshots()} == {"three"}


def test_looking_after_it_by_hand(folder: Path, run: Run) -> None:
    assert "nothing is damaged" in run("repository", "check", "shop", "--part", "all")
    assert "0 stale locks removed" in run("repository", "unlock", "shop")
    assert "freed 0.0 MB" in run("repository", "prune", "shop")
    packs = [path for path in (folder / "shop" / "data").rglob("*") if path.is_file()]
    pack = min(packs, key=lambda path: path.stat().st_size)  # of data: those of trees are larger here
    content = bytearray(pack.read_bytes())
    content[5] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(content)
    said = run("repository", "check", "shop", "--part", "all", code=13)
    assert f"Damaged packs: {pack.name[:12]}. Sets that need them: " in said
