from __future__ import annotations

import dataclasses
import io
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from mongo_backup.archive.reader import NamespaceEnd, Prelude, read_archive
from mongo_backup.engines import mongodump, mongorestore, native
from mongo_backup.engines.base import DumpJob
from mongo_backup.errors import ArchiveError, ConfigurationError, MongoBackupError, PermanentError, TransientError
from mongo_backup.namespaces import Selection
from mongo_backup.topology.model import ComponentRole
from sandbox.cluster import ShardedCluster
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.seed import ORDERS, Seeded

pytestmark = pytest.mark.integration

SET = "rs0"
StandIn = Callable[[str, str], Callable[[], dict[str, Any]]]
WRITE = "sys.stdout.buffer.write((folder / 'archive').read_bytes())\nsys.stdout.flush()\n"


class Member:
    """A member with what mongodump would write of it, and ways to dump it."""

    def __init__(self, deployment: ReplicaSet, folder: Path) -> None:
        self.folder = folder
        self.told: list[int] = []
        self.deployment = deployment
        self.host = deployment.secondaries(SET)[0]
        assert deployment.credentials
        self.user = deployment.credentials.backup
        self.job = DumpJob(
            client=deployment.client(host=self.host, user="backup"),
            host=self.host,
            component=SET,
            selection=Selection(
                role=ComponentRole.REPLICA_SET, include=("shop.*", "telemetry.*"), exclude=("*.audit",)
            ),
            connection={"username": self.user.username, "password": self.user.password, "authSource": "admin"},
        )

    def everything(self) -> bytes:
        """What mongodump would write: all of it, wanted or not, by the native engine."""
        archive = io.BytesIO()
        selection = Selection(role=ComponentRole.REPLICA_SET)
        native.dump(
            dataclasses.replace(self.job, selection=selection),
            write=archive.write,  # type: ignore[arg-type]
            on_read_complete=lambda: None,
        )
        return archive.getvalue()

    def dump(self, **options: Any) -> tuple[Any, bytes]:
        archive = io.BytesIO()
        records = mongodump.dump(
            self.job,
            write=archive.write,  # type: ignore[arg-type]
            on_read_complete=lambda: self.told.append(1),
            **options,
        )
        return records, archive.getvalue()


@pytest.fixture
def member(seeded_replica_set: tuple[ReplicaSet, Seeded], tmp_path: Path) -> Member:
    found = Member(seeded_replica_set[0], tmp_path)
    (tmp_path / "archive").write_bytes(found.everything())
    return found


def test_how_it_is_called_and_what_comes_of_it(member: Member, stand_in: StandIn) -> None:
    called = stand_in("mongodump", WRITE)
    records, archive = member.dump(arguments=("-v",))
    call = called()
    assert call["arguments"][1:] == ["--archive", "--numParallelCollections=1", "-v"]
    assert call["mode"] == 0o600
    assert not Path(call["path"]).exists()
    login, _, rest = call["config"].removeprefix('uri: "mongodb://').partition("@")
    assert [unquote(part) for part in login.split(":")] == [member.user.username, member.user.password]
    assert rest.startswith(f"{member.host}/?")
    assert "directConnection=true" in rest
    public = " ".join([*call["arguments"], *call["environment"].values()])
    assert member.user.password not in public
    wanted = io.BytesIO()
    expected = native.dump(member.job, write=wanted.write, on_read_complete=lambda: None)  # type: ignore[arg-type]
    assert records == expected
    assert archive == wanted.getvalue()
    assert not any(record.at_cluster_time for record in records)
    assert member.told == [1]


def test_a_single_database_spares_it_the_others(member: Member, stand_in: StandIn) -> None:
    called = stand_in("mongodump", WRITE)
    member.job = dataclasses.replace(
        member.job, selection=Selection(role=ComponentRole.REPLICA_SET, include=("shop.orders", "shop.k*"))
    )
    records, _ = member.dump()
    assert "--db=shop" in called()["arguments"]
    assert {record.namespace for record in records} == {"shop.orders", "shop.kinds"}


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (WRITE + "sys.exit(1)", PermanentError, "mongodump on .* ended with status 1: it said nothing"),
        (
            "sys.stdout.buffer.write((folder / 'archive').read_bytes()[:90000])\n"
            "sys.exit('Failed: connection(h) socket was unexpectedly closed: EOF')",
            TransientError,
            "status 1: Failed: connection",
        ),
        ("sys.stdout.buffer.write((folder / 'archive').read_bytes()[:90000])", ArchiveError, "cut off in "),
        ("sys.exit('Failed: auth error: (AuthenticationFailed)')", ConfigurationError, "AuthenticationFailed"),
        ("print('nonsense')", ArchiveError, "no archive of mongodump"),
    ],
)
def test_its_failure_is_a_failed_dump(
    member: Member, stand_in: StandIn, body: str, kind: type[MongoBackupError], words: str
) -> None:
    stand_in("mongodump", body)
    with pytest.raises(kind, match=words):
        member.dump()
    assert member.told == []


def test_what_it_leaves_out_is_noticed(member: Member, stand_in: StandIn) -> None:
    collection = member.deployment.client()["shop"]["left_out"]
    collection.insert_one({"_id": 1})
    member.deployment.wait_for_replication()
    stand_in("mongodump", WRITE)
    try:
        with pytest.raises(PermanentError, match=r"mongodump leaves out shop\.left_out"):
            member.dump()
    finally:
        collection.drop()
        member.deployment.wait_for_replication()


def test_its_words_are_logged_without_the_password(
    member: Member, stand_in: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    stand_in("mongodump", f"print('writing', {member.user.password!r}, file=sys.stderr)\n{WRITE}")
    member.dump()
    assert "mongodump: writing ***" in caplog.messages
    assert member.user.password not in caplog.text


def test_a_writer_that_fails_ends_it(member: Member, stand_in: StandIn) -> None:
    stand_in("mongodump", WRITE + "import time\ntime.sleep(600)\n")

    def write(_: bytes | memoryview) -> None:
        raise TransientError("the store is gone")

    with pytest.raises(TransientError, match="the store is gone"):
        mongodump.dump(member.job, write=write, on_read_complete=lambda: member.told.append(1))
    assert member.told == []


def test_a_shard_with_leftovers_is_refused(
    seeded_cluster: tuple[ShardedCluster, Seeded], stand_in: StandIn, dumps: Any
) -> None:
    stand_in("mongodump", WRITE)
    with pytest.raises(MongoBackupError, match=rf"does not own, of {ORDERS}"):
        mongodump.dump(
            dumps.job(seeded_cluster[0], "shard0", include=("shop.*",)),
            write=lambda _: None,
            on_read_complete=lambda: None,
        )


if shutil.which("mongodump") and shutil.which("mongorestore"):

    def test_the_real_tool_dumps_the_same(member: Member) -> None:
        records, archive = member.dump()
        assert records == native.dump(member.job, write=lambda _: None, on_read_complete=lambda: None)
        events = list(read_archive(io.BytesIO(archive)))
        assert isinstance(events[0], Prelude)
        ends = {(each.db, each.collection): each.documents for each in events if isinstance(each, NamespaceEnd)}
        for record in records:
            assert ends.get((record.db, record.collection), 0) == record.documents

    def test_the_real_mongorestore_reads_a_native_archive(member: Member) -> None:
        with Standalone(auth=False) as target:
            host = target.hosts()[0]
            tally = mongorestore.restore(
                lambda write: write(member.everything()), hosts=[host], connection={}, arguments=("--drop",)
            )
            job = DumpJob(
                client=target.client(host=host),
                host=host,
                component="standalone",
                selection=Selection(role=ComponentRole.STANDALONE, exclude=("admin.*",)),
            )
            restored = native.dump(job, write=lambda _: None, on_read_complete=lambda: None)
            selection = Selection(role=ComponentRole.REPLICA_SET, exclude=("admin.*",))
            source = native.dump(
                dataclasses.replace(member.job, selection=selection),
                write=lambda _: None,
                on_read_complete=lambda: None,
            )
            facts = [
                {(each.namespace, each.documents, each.digest, str(each.options)) for each in records}
                for records in (restored, source)
            ]
            assert tally.documents == sum(record.documents for record in source)
            # Buckets get their validator from the server that creates them.
            assert facts[0] == facts[1]
