"""The manifest says what was achieved, and is not made when a part is missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mongo_backup.agent.contract import BackupRequest
from mongo_backup.errors import PermanentError, PreconditionError
from mongo_backup.manifest.build import build_manifest, weakest
from mongo_backup.manifest.model import Inventory, Manifest, NamespaceRecord
from mongo_backup.manifest.store import archive_file, decode_manifest, inventory_file
from mongo_backup.objects.configuration import Consistency

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def dump(component: str, consistency: str = "locked") -> dict[str, Any]:
    return {
        "component": component,
        "archive_id": "a" * 64,
        "inventory_id": "i" * 64,
        "engine": "native",
        "archive_file": f"/{component}.archive",
        "consistency": consistency,
        "documents": 5,
        "bytes": 100,
        "bytes_added": 10,
        "collections": 1,
        "seconds": 2,
        "read_seconds": 1,
        "locked_seconds": 1.5,
        "cluster_time": {"t": 7, "i": 1},
        "held_at": 1000.5,
    }


HELD = [
    {"component": name, "host": "h:1", "mode": "lock", "at": 1000.5, "catalog": "c" * 64}
    for name in ("config", "shard0")
]


def request(*dumps: dict[str, Any], **changes: Any) -> BackupRequest:
    member = {"role": "shard", "host": "h:1", "state": "SECONDARY", "mode": "lock"}
    body = {
        "run": {"dag_id": "backup.shop.nightly", "run_id": "r1"},
        "session": "nightly",
        "set_id": "s1",
        "objects": {
            "configuration": {
                "kind": "BackupConfiguration",
                "metadata": {"name": "shop"},
                "spec": {
                    "target": {"name": "shop"},
                    "storage": {"name": "s3"},
                    "encryption": {"connection": "repo"},
                    "sessions": [{"name": "nightly", "include": ["shop.*"]}],
                },
            },
            "target": {
                "kind": "AppBinding",
                "metadata": {"name": "shop"},
                "spec": {"topology": "replica_set", "replica_set": {"replica_set": "rs0", "hosts": ["h:1"]}},
            },
            "storage": {
                "kind": "BackupStorage",
                "metadata": {"name": "s3"},
                "spec": {"provider": "local", "path": "/srv"},
            },
            "addon": {"kind": "Addon", "metadata": {"name": "mongodb"}},
        },
        "prepared": {
            "set_id": "s1",
            "started": "2024-01-01T00:00:00.000+00:00",
            "topology": "sharded",
            "components": ["config", "shard0"],
            "server_version": "6.0.5",
            "fcv": "6.0",
            "cluster_time_supported": True,
            "repository_created": False,
        },
        "members": [{"component": "config", **member, "role": "config"}, {"component": "shard0", **member}],
        "lock": {"consistency": "locked", "cluster_time": {"t": 7, "i": 1}, "held": HELD, "skew_seconds": 0.1},
        "dumps": list(dumps),
        **changes,
    }
    return BackupRequest.model_validate(body)


INVENTORIES = {
    name: Inventory(component=name, namespaces=(NamespaceRecord(db=name, collection="c", documents=5),))
    for name in ("config", "shard0")
}


def build(of: BackupRequest, inventories: dict[str, Inventory] | None = None) -> Manifest:
    return build_manifest(
        request=of,
        inventories=INVENTORIES if inventories is None else inventories,
        finished=NOW,
        restic_version="0.14.0",
    )


def test_a_whole_set() -> None:
    manifest = build(request(dump("shard0"), dump("config")))
    assert [each.name for each in manifest.components] == ["config", "shard0"]
    assert manifest.component("shard0").namespaces == INVENTORIES["shard0"].namespaces
    assert (manifest.documents, manifest.bytes, str(manifest.cluster_time)) == (10, 200, "7.1")
    assert (manifest.consistency, manifest.lock_skew_seconds) == (Consistency.LOCKED, 0.1)
    assert (manifest.configuration, manifest.session, manifest.include) == ("shop", "nightly", ("shop.*",))
    assert manifest.dag_run == "backup.shop.nightly/r1"
    assert decode_manifest(manifest.model_dump_json(by_alias=True).encode(), "s1") == manifest
    assert BackupRequest.model_validate(request().model_dump(by_alias=True)).objects.model_validate(manifest.objects)


def test_the_set_is_as_weak_as_its_weakest_part() -> None:
    manifest = build(request(dump("config", "locked"), dump("shard0", "snapshot")))
    assert manifest.consistency is Consistency.SNAPSHOT
    assert manifest.component("config").consistency is Consistency.LOCKED
    assert weakest({"a": Consistency.LOCKED, "b": Consistency.NONE, "c": Consistency.SNAPSHOT}) is Consistency.NONE


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (request(dump("config")), "dumped: config; to be dumped: config, shard0"),
        (request(), "dumped: nothing"),
        (request(dump("config"), dump("shard0"), dump("shard0")), "not complete"),
        (request(dump("config"), dump("shard0"), dump("shard9")), "not complete"),
        (request(dump("config"), dump("shard0"), members=[]), "nothing is known"),
        (request(dump("config"), dump("shard0"), prepared=None), "no result of `prepare`"),
        (request(dump("config"), dump("shard0"), set_id="other"), "for set other"),
        (request(dump("config"), dump("shard0") | {"cluster_time": {"t": 6, "i": 1}}), "shard0 was not read at 7.1"),
        (request(dump("config") | {"cluster_time": None}, dump("shard0")), "config was not read at 7.1"),
        (request(dump("config") | {"held_at": 999.0}, dump("shard0")), "would not be one point in time"),
    ],
)
def test_no_manifest_of_half_a_set(bad: BackupRequest, reason: str) -> None:
    with pytest.raises(PreconditionError, match=reason):
        build(bad)


def test_locks_without_a_cluster_time_are_told_apart_too() -> None:
    """Servers before 5.0: only the lock says that the dumps belong together."""
    timeless = {"consistency": "locked", "held": HELD}
    whole = [dump(name) | {"cluster_time": None} for name in ("config", "shard0")]
    assert build(request(*whole, lock=timeless)).cluster_time is None
    with pytest.raises(PreconditionError, match="of the last lock"):
        build(request(whole[0], whole[1] | {"held_at": 999.0}, lock=timeless))


def test_a_standalone_has_no_lock() -> None:
    alone = [dump(name, "none") | {"cluster_time": None, "held_at": None} for name in ("config", "shard0")]
    assert build(request(*alone, lock=None)).consistency is Consistency.NONE


def test_no_manifest_without_inventories() -> None:
    with pytest.raises(PreconditionError, match="inventory of config, shard0"):
        build(request(dump("config"), dump("shard0")), {})


def changed(**changes: Any) -> bytes:
    whole = json.loads(build(request(dump("config"), dump("shard0"))).model_dump_json())
    return json.dumps({**whole, **changes}).encode()


def test_a_newer_manifest_is_refused_before_its_unknown_fields() -> None:
    with pytest.raises(PreconditionError, match="format version 2, this is 1: use the version"):
        decode_manifest(changed(format_version=2, sharper=True), "s1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no JSON with a format_version"),
        (b"[1]", "no JSON with a format_version"),
        (changed()[:-40], "no JSON with a format_version"),
        (changed(components=[{"name": "x"}]), "damaged: Field required at components.0"),
        (changed(set_id="other"), "names set other"),
    ],
)
def test_a_damaged_manifest(text: bytes, reason: str) -> None:
    with pytest.raises(PermanentError, match=reason):
        decode_manifest(text, "s1")


def test_files_have_stable_plain_names() -> None:
    assert archive_file("shard0") == "/shard0.archive"
    assert inventory_file("a/b") == "/a_b.inventory.json"
