"""One archive into one server: exact, complete, and red when it is not."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from mongo_backup.archive.format import ArchiveHeader, PreludeEntry
from mongo_backup.archive.writer import ArchiveWriter
from mongo_backup.errors import ArchiveError, PermanentError, PreconditionError
from mongo_backup.restore.component import ComponentTarget, Restored, read_specs, restore_archive
from mongo_backup.restore.indexes import begin_expiry, build_indexes
from mongo_backup.restore.rules import RestoreRules
from sandbox.replica_set import ReplicaSet

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures" / "mongodump-100.18"
RAW = CodecOptions(document_class=RawBSONDocument)


def target(deployment: ReplicaSet, **fields: Any) -> ComponentTarget:
    given: dict[str, Any] = {"rules": RestoreRules(), "keep_uuids": False} | fields
    return ComponentTarget(client=deployment.client(user="restore"), name="rs0", host=deployment.hosts()[0], **given)


def archive(namespaces: dict[str, list[dict[str, Any]]], options: dict[str, Any] | None = None) -> bytes:
    pieces: list[bytes] = []
    writer = ArchiveWriter(lambda piece: pieces.append(bytes(piece)))
    text = json.dumps({"options": options or {}, "indexes": []})
    entries = [
        PreludeEntry(
            db=name.partition(".")[0], collection=name.partition(".")[2], type="collection", metadata_text=text
        )
        for name in namespaces
    ]
    writer.prelude(ArchiveHeader(server_version="6.0.5", tool_version="test"), entries)
    for entry, documents in zip(entries, namespaces.values(), strict=True):
        writer.begin(entry.db, entry.collection)
        writer.documents(b"".join(map(bson.encode, documents)))
        writer.end()
    writer.flush()
    return b"".join(pieces)


def raw_documents(deployment: ReplicaSet, db: str, collection: str) -> list[bytes]:
    found = deployment.client()[db].get_collection(collection, codec_options=RAW).find()
    return [bytes(document.raw) for document in found]


@pytest.fixture(scope="module")
def mixed() -> bytes:
    return gzip.decompress((FIXTURES / "mixed.archive.gz").read_bytes())


@pytest.fixture(scope="module")
def truth() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((FIXTURES / "mixed.truth.json").read_text("utf-8"))
    return {name: facts for name, facts in found.items() if facts["type"]}


def restored_facts(deployment: ReplicaSet, namespace: str) -> dict[str, Any]:
    db, _, collection = namespace.partition(".")
    database = deployment.client()[db]
    [info] = database.list_collections(filter={"name": collection})
    facts: dict[str, Any] = {"type": info["type"], "options": info["options"]}
    if info["type"] == "collection":
        documents = sorted(raw_documents(deployment, db, collection))
        facts["count"] = len(documents)
        facts["sha256_of_sorted_documents"] = hashlib.sha256(b"".join(documents)).hexdigest()
        facts["indexes"] = sorted(index["name"] for index in database[collection].list_indexes())
    elif info["type"] == "timeseries":
        facts["count"] = database[collection].count_documents({})
    return facts


@pytest.mark.parametrize("keep_uuids", [False, True])
def test_the_archive_of_mongodump_restores_to_its_truth(
    empty_set: ReplicaSet, mixed: bytes, truth: dict[str, dict[str, Any]], keep_uuids: bool
) -> None:
    where = target(empty_set, keep_uuids=keep_uuids, own_leftovers=keep_uuids)
    restored = restore_archive(io.BytesIO(mixed), where)
    specs = read_specs(io.BytesIO(mixed), rules=where.rules)
    build_indexes(client=where.client, host=where.host, specs=specs)
    begin_expiry(client=where.client, host=where.host, specs=specs)

    found = {name: restored_facts(empty_set, name) for name in truth}
    wanted = {
        name: {key: value for key, value in facts.items() if value is not None and key in found[name]}
        for name, facts in truth.items()
    }
    assert {name: {key: facts[key] for key in wanted[name]} for name, facts in found.items()} == wanted
    assert (len(restored.users), len(restored.roles)) == (2, 1)
    uuids = {spec.namespace: spec.uuid for spec in specs if spec.uuid}
    there = {
        f"{db}.{info['name']}": bytes(info["info"]["uuid"]).hex()
        for db in {name.partition(".")[0] for name in truth}
        for info in empty_set.client()[db].list_collections()
        if "uuid" in info["info"]
    }
    assert (uuids.items() <= there.items()) is keep_uuids


@pytest.mark.parametrize("left", [0.3, 0.999999])
def test_a_truncated_archive_fails(empty_set: ReplicaSet, left: float) -> None:
    whole = archive({"cut.a": [{"_id": n} for n in range(5000)], "cut.b": [{"_id": n} for n in range(100)]})
    with pytest.raises(ArchiveError, match=r"cut off|ends before"):
        restore_archive(io.BytesIO(whole[: int(len(whole) * left)]), target(empty_set, own_leftovers=True))


def test_a_flipped_bit_fails(empty_set: ReplicaSet) -> None:
    whole = bytearray(archive({"flipped.a": [{"_id": n, "text": "x" * 50} for n in range(100)]}))
    whole[whole.rindex(b"xxxxx")] ^= 1
    with pytest.raises(ArchiveError, match="checksum"):
        restore_archive(io.BytesIO(bytes(whole)), target(empty_set))


def test_empty_timestamps_stay_empty(empty_set: ReplicaSet) -> None:
    documents: list[dict[str, Any]] = [
        {"_id": 1, "at": Timestamp(0, 0), "n": 1},
        {"_id": Timestamp(0, 0), "a.b": Timestamp(0, 0), "$c": 0.0, "": Timestamp(0, 0)},
        {"_id": {"a": 1}, "zero": 0, "in": {"at": Timestamp(0, 0)}, "real": Timestamp(5, 1), "x": Timestamp(0, 0)},
        {"_id": 4, "double": 0.0},
    ]
    restore_archive(io.BytesIO(archive({"stamps.a": documents})), target(empty_set))
    assert sorted(raw_documents(empty_set, "stamps", "a")) == sorted(map(bson.encode, documents))


def test_a_capped_collection_keeps_its_order(empty_set: ReplicaSet) -> None:
    documents = [{"_id": (n * 7919) % 20_000, "pad": "x" * 100} for n in range(20_000)]
    data = archive({"capped.log": documents}, {"capped": True, "size": 10_000_000})
    restore_archive(io.BytesIO(data), target(empty_set))
    assert raw_documents(empty_set, "capped", "log") == list(map(bson.encode, documents))


def test_a_validator_does_not_refuse_old_documents(empty_set: ReplicaSet) -> None:
    options = {"validator": {"$jsonSchema": {"required": ["new"]}}, "validationAction": "error"}
    restore_archive(io.BytesIO(archive({"valid.a": [{"_id": 1, "old": 1}]}, options)), target(empty_set))
    assert empty_set.client().valid.a.find_one() == {"_id": 1, "old": 1}


def test_what_appeared_since_the_plan_is_not_touched(empty_set: ReplicaSet) -> None:
    empty_set.client().appeared.a.insert_one({"_id": "theirs"})
    with pytest.raises(PreconditionError, match=r"appeared\.a"):
        restore_archive(io.BytesIO(archive({"appeared.a": [{"_id": 1}]})), target(empty_set))
    assert empty_set.client().appeared.a.find_one() == {"_id": "theirs"}


def test_a_second_try_replaces_what_the_first_one_left(empty_set: ReplicaSet) -> None:
    data = archive({"again.a": [{"_id": n} for n in range(10)]})
    restore_archive(io.BytesIO(data), target(empty_set))
    restored = restore_archive(io.BytesIO(data), target(empty_set, own_leftovers=True))
    assert restored.documents == empty_set.client().again.a.count_documents({}) == 10


class Unsettling(io.BytesIO):
    """A source that, half read, makes the primary step down."""

    def __init__(self, data: bytes, deployment: ReplicaSet) -> None:
        super().__init__(data)
        self.half, self.deployment, self.done = len(data) // 2, deployment, False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > self.half and not self.done:
            self.done = True
            host = self.deployment.hosts()[0]
            self.deployment.client(host=host).admin.command({"replSetStepDown": 2, "force": True})
        return super().read(size)


def test_an_election_does_not_end_it(empty_set: ReplicaSet) -> None:
    documents = [{"_id": n, "pad": "x" * 1000} for n in range(10_000)]
    source = Unsettling(archive({"election.a": documents}), empty_set)
    restored = restore_archive(source, target(empty_set))
    assert source.done
    assert restored.documents == 10_000
    assert sorted(raw_documents(empty_set, "election", "a")) == sorted(map(bson.encode, documents))


def test_merge_adds_and_takes_the_same_document_twice(empty_set: ReplicaSet) -> None:
    collection = empty_set.client().merged.a
    collection.insert_many([{"_id": 1, "n": 1}, {"_id": "other"}])
    restored = merge(empty_set, [{"_id": n, "n": n} for n in range(5)])
    assert restored.collections == 0
    assert collection.count_documents({}) == 6


def merge(deployment: ReplicaSet, documents: list[dict[str, Any]]) -> Restored:
    return restore_archive(io.BytesIO(archive({"merged.a": documents})), target(deployment, merge=True))


def test_merge_fails_for_another_document_of_the_same_id_or_unique_key(empty_set: ReplicaSet) -> None:
    collection = empty_set.client().merged.a
    collection.delete_many({})
    collection.create_index("mail", unique=True)
    collection.insert_one({"_id": 1, "mail": "a@example.org"})
    with pytest.raises(PermanentError, match=r"1 of 2 documents.*merged\.a.*E11000"):
        merge(empty_set, [{"_id": 1, "mail": "b@example.org"}, {"_id": 2, "mail": "c@example.org"}])
    with pytest.raises(PermanentError, match=r"merged\.a.*mail"):
        merge(empty_set, [{"_id": 3, "mail": "a@example.org"}])


def test_a_unique_index_over_doubled_values_fails(empty_set: ReplicaSet) -> None:
    data = archive({"unique.a": [{"_id": 1, "k": 1}, {"_id": 2, "k": 1}]})
    where = target(empty_set)
    restore_archive(io.BytesIO(data), where)
    [spec] = read_specs(io.BytesIO(data), rules=where.rules)
    index = bson.encode({"v": 2, "key": {"k": 1}, "name": "k_1", "unique": True})
    doubled = type(spec)(db=spec.db, collection=spec.collection, raw_indexes=(index,))
    with pytest.raises(PermanentError, match=r"unique index of unique\.a"):
        build_indexes(client=where.client, host=where.host, specs=[doubled])


def test_an_option_that_the_server_no_longer_knows_is_left_out_and_told(empty_set: ReplicaSet) -> None:
    where = target(empty_set)
    restore_archive(io.BytesIO(archive({"legacy.a": []})), where)
    [spec] = read_specs(io.BytesIO(archive({"legacy.a": []})), rules=where.rules)
    index = bson.encode({"v": 2, "key": {"k": 1}, "name": "k_1", "ns": "legacy.a", "bits2": 26})
    built = build_indexes(
        client=where.client,
        host=where.host,
        specs=[type(spec)(db="legacy", collection="a", raw_indexes=(index,))],
    )
    assert built.indexes == 1
    assert "bits2" in built.warnings[0]


def test_selection_and_new_names(empty_set: ReplicaSet) -> None:
    data = archive({f"old.{name}": [{"_id": name}] for name in ("a", "b", "c")})
    rules = RestoreRules(include=("old.*",), exclude=("old.c",), rename={"old.a": "new.z", "old.*": "newer.*"})
    restore_archive(io.BytesIO(data), target(empty_set, rules=rules))
    client = empty_set.client()
    assert client.new.z.find_one() == {"_id": "a"}
    assert client.newer.list_collection_names() == ["b"]
    assert "old" not in client.list_database_names()
