"""Airflow, its database and the objects are gone: address and password of the repository are all there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
import yaml

from mongo_backup.cli import source
from mongo_backup.cli.main import main
from mongo_backup.objects.loader import load_directory
from sandbox import objects
from sandbox.mongod import mongod_binary
from sandbox.objects import ENCRYPTION_PASSWORD
from sandbox.replica_set import ReplicaSet

COPY_PASSWORD = "another p@ss:/%?#& 'word\""
COPY = {"name": "offsite", "encryption": {"connection": "copy"}}
Bench = Any
"""`Workbench` of conftest.py."""


@pytest.fixture
def repository(shop_set: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Its address; the password is where restic itself looks for it, and everything else is away."""
    password = tmp_path / "password"
    password.write_text(ENCRYPTION_PASSWORD + "\n")
    monkeypatch.setenv("RESTIC_PASSWORD_FILE", str(password))
    monkeypatch.setenv("MONGO_BACKUP_CONFIG", str(tmp_path / "nowhere"))
    monkeypatch.delenv("MONGO_BACKUP_CREDENTIALS", raising=False)
    monkeypatch.chdir(tmp_path)
    source._asked.clear()
    return f"{shop_set.objects.storage.spec.path}/shop"


def run(*words: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> str:
    """Run a command; its output, or what it says of an error."""
    ended = main([*words])
    out, err = capsys.readouterr()
    assert ended == code, (out, err)
    assert ENCRYPTION_PASSWORD not in out + err
    return out if code == 0 else err


def uri_file(deployment: ReplicaSet, folder: Path) -> str:
    """Where the target is, with the restore user's password."""
    user = next(each for name, each in deployment.connections().items() if "restore" in name)
    path = folder / "target"
    login = f"{quote_plus(user.username)}:{quote_plus(user.password)}"
    path.write_text(f"mongodb://{login}@{deployment.hosts()[0]}/")
    return str(path)


def test_bootstrap_then_restore_into_a_new_replica_set(
    shop_set: Bench, repository: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("--repository", repository)
    said = run("bootstrap", *address, "--write", "found", capsys=capsys)
    assert "1 " not in said.splitlines()[0]
    written = load_directory(tmp_path / "found")
    assert written.errors == {}
    assert written.resolve("shop") == shop_set.objects  # what made the set, to the last field
    run("bootstrap", *address, "--write", "found", capsys=capsys)  # the same again does no harm

    with ReplicaSet(members=1) as other:
        target = ("--target-uri-file", uri_file(other, tmp_path))
        planned = run("restore", *address, *target, "--dry-run", capsys=capsys)
        assert "Restore set" in planned
        assert "Nothing was touched" in planned
        assert other.client().list_database_names() == ["admin", "config", "local"]

        told = json.loads(run("restore", *address, *target, "--output", "json", capsys=capsys))
        assert told["verified"]["digests"] == told["verified"]["namespaces"] > 8
        assert other.client().shop.orders.count_documents({}) == 400

        refused = run("restore", *address, *target, "--existing", "drop", capsys=capsys, code=10)
        assert "say --yes" in refused
        narrow = ("--include", "shop.orders", "--rename", "shop.orders=shop.orders_then")
        run("restore", *address, *target, *narrow, capsys=capsys)
        assert other.client().shop.orders_then.count_documents({}) == 400


def test_verify_list_show_diff(shop_set: Bench, repository: str, capsys: pytest.CaptureFixture[str]) -> None:
    address = ("--repository", repository)
    listed = json.loads(run("snapshots", "list", *address, "--output", "json", capsys=capsys))
    first = listed[-1]
    assert first["verdict"] is None
    said = run("verify", *address, "--mongod", mongod_binary(), capsys=capsys)
    assert f"Set {first['set_id']} is verified" in said
    listing = run("snapshots", "list", *address, capsys=capsys).splitlines()
    assert [line for line in listing if first["set_id"] in line and line.endswith(" yes")]

    shop = shop_set.deployment.client().shop
    shop.command("create", "brand_new")
    shop.brand_new.insert_many([{"_id": n} for n in range(7)])
    shop.orders.update_one({"number": 3}, {"$set": {"number": 3333}})
    shop.events.drop_index("device_hashed")
    shop.kinds.drop()
    try:
        shop_set.backup()
        told = run("snapshots", "diff", first["set_id"], *address, capsys=capsys).splitlines()
    finally:
        shop_set.restore(existing="drop", snapshot=first["set_id"])
    assert "+ shop.brand_new: 7 documents" in told
    assert [line for line in told if line.startswith("- shop.kinds: had ")]
    assert [line for line in told if line.startswith("~ shop.orders: other documents, as many")]
    assert [line for line in told if line.startswith("~ shop.events: indexes gone: device_hashed")]

    shown = run("snapshots", "show", "--set", first["set_id"], *address, capsys=capsys)
    assert "Verified " in shown
    assert "shop.orders" in shown
    document = json.loads(run("snapshots", "show", *address, "--output", "json", capsys=capsys))
    assert document["manifest"]["history"][-1]["set_id"] == first["set_id"]
    assert document["verification"] is None


def with_copy(bench: Bench, folder: Path) -> tuple[list[str], str]:
    """Options for the objects of the bench with a copy in a folder and a password of its own; and its address."""
    name = bench.objects.configuration.spec.sessions[0].name
    session = {"name": name, "copies": [{**COPY, "storage": {"name": "offsite"}}]}
    documents = [
        bench.deployment.app_binding(),
        objects.local_storage(Path(bench.objects.storage.spec.path)),
        objects.local_storage(folder / "offsite", name="offsite"),
        objects.configuration(session=session),
    ]
    (folder / "offsite").mkdir()
    (folder / "config").mkdir()
    (folder / "config" / "shop.yaml").write_text(yaml.safe_dump_all(documents))
    known = {
        key: {"username": each.username, "password": each.password_text()}
        for key, each in bench.credentials.values.items()
    }
    known["connection:copy"] = {"username": None, "password": COPY_PASSWORD}
    secrets = folder / "credentials.json"
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps(known))
    return ["--objects", str(folder / "config"), "--credentials", str(secrets)], str(folder / "offsite" / "shop")


def test_a_copy_is_all_that_a_restore_needs(
    shop_set: Bench,
    repository: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options, address = with_copy(shop_set, tmp_path)
    newest = json.loads(run("snapshots", "list", "shop", *options, "--output", "json", capsys=capsys))[-1]["set_id"]
    said = run("repository", "copy", "shop", *options, "--dry-run", capsys=capsys)
    assert [line for line in said.splitlines() if newest in line and line.endswith("to be copied")]
    assert "Nothing was touched" in said
    assert not Path(address).exists()
    done = json.loads(run("repository", "copy", "shop", *options, "--output", "json", capsys=capsys))[0]["done"]
    assert done["copied"][0] == done["newest_set"] == newest
    assert "is there" in run("repository", "copy", "shop", *options, "--dry-run", capsys=capsys)

    copied = ("shop", "--copy", "offsite", *options)
    assert newest in run("snapshots", "list", *copied, capsys=capsys)
    assert f"from {repository}" in run("snapshots", "show", *copied, capsys=capsys)
    assert "is verified" in run("verify", *copied, "--mongod", mongod_binary(), capsys=capsys)
    assert "the newest, the newest verified" in run("retention", "plan", *copied, capsys=capsys)
    assert "has no copy 'nowhere'" in run(
        "snapshots", "list", "shop", "--copy", "nowhere", *options, capsys=capsys, code=10
    )

    # Everything else is gone: address and password of the copy are all there is.
    monkeypatch.setenv("RESTIC_PASSWORD", COPY_PASSWORD)
    source._asked.clear()
    run("bootstrap", "--repository", address, "--write", "found", capsys=capsys)
    assert load_directory(tmp_path / "found").errors == {}
    with ReplicaSet(members=1) as other:
        target = ("--target-uri-file", uri_file(other, tmp_path))
        told = json.loads(run("restore", "--repository", address, *target, "--output", "json", capsys=capsys))
    assert told["set_id"] == newest
    assert told["verified"]["digests"] == told["verified"]["namespaces"] > 8


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["snapshots", "list"], "which sets?"),
        (["snapshots", "list", "--copy", "offsite", "--repository", "{repository}"], "give the copy's address"),
        (["restore", "--repository", "{repository}", "--rename", "shop"], "write OLD=NEW"),
        (["restore", "--repository", "{repository}", "--rename", "shop=x"], "neither"),
        (["restore", "--repository", "{repository}", "--target", "nobody"], "there is no folder"),
        (["snapshots", "list", "--repository", "gs:bucket"], "address cannot be read"),
    ],
)
def test_what_is_wrong_is_said(
    repository: str, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.replace("{repository}", repository) for word in words]
    assert says in run(*filled, capsys=capsys, code=10)
