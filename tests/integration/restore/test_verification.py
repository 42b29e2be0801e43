"""Sets are restored into a throw-away server and compared: what is equal is verified, and nothing else is."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from mongo_backup.errors import ConfigurationError, PreconditionError, TransientError, VerificationError
from mongo_backup.manifest.catalog import SetCatalog, SetEntry
from mongo_backup.objects.verification import Check, VerificationSettings
from mongo_backup.repository.restic import Repository
from mongo_backup.restore.component import restore_archive
from mongo_backup.restore.indexes import build_indexes
from mongo_backup.verify import whole_set
from mongo_backup.verify.checks import CheckResult, run_check
from mongo_backup.verify.record import VerificationRecord, last_verified, read_record
from mongo_backup.verify.throwaway import SOCKET, SOCKET_VARIABLE, server_options, sweep, throwaway
from sandbox.inline_verify import InlineVerification
from sandbox.mongod import mongod_binary
from sandbox.processes import Process
from sandbox.waiting import wait_until

Bench = Any
"""`Workbench` of conftest.py."""

CHECKS = [
    {"name": "all orders", "namespace": "shop.orders", "count": 400},
    {"name": "enough events", "namespace": "shop.events", "filter": {"device": {"$gte": 0}}, "at_least": 200},
    {
        "name": "one order",
        "namespace": "shop.orders",
        "pipeline": [{"$match": {"number": 7}}, {"$project": {"_id": 0, "number": 1}}],
        "equals": [{"number": 7}],
    },
]


def verification(bench: Bench, **settings: Any) -> InlineVerification:
    return InlineVerification(bench.objects, bench.credentials, settings)


def repository_of(bench: Bench) -> Repository:
    return Repository.of(
        configuration=bench.objects.configuration, storage=bench.objects.storage, credentials=bench.credentials
    )


def newest(bench: Bench) -> tuple[SetEntry, VerificationRecord | None, tuple[str, ...]]:
    """The newest set, its record, and the ids of all verified sets."""
    with repository_of(bench) as repository:
        catalog = SetCatalog.read(repository)
        entry = catalog.find()
        return entry, read_record(repository, entry), catalog.verified()


def left_behind() -> list[Path]:
    return [*Path(tempfile.gettempdir()).glob("mongo-backup-verify-*")]


def test_a_good_set_is_verified_and_the_repository_says_so(shop_set: Bench) -> None:
    result = verification(shop_set, checks=CHECKS).run()
    entry, record, verified = newest(shop_set)
    assert entry.verified
    assert verified == (entry.set_id,)
    assert record is not None
    assert record.set_id == result.set_id == entry.set_id
    assert record.verified
    assert [check.ok for check in record.checks] == [True, True, True]
    assert result.documents > 900
    assert result.digests > result.namespaces > 8  # users and roles, which are not restored
    assert result.indexes > 5
    assert result.cluster_time is not None
    with repository_of(shop_set) as repository:
        assert last_verified(repository, SetCatalog.read(repository)) == record
    assert left_behind() == []


def test_one_changed_document_and_a_missing_index_fail_it(shop_set: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same number of documents, one of them changed between restore and comparison, and one index dropped."""
    before = newest(shop_set)[0]

    def tampered(source: Any, target: Any) -> Any:
        restored = restore_archive(source, target)
        changed = target.client.shop.orders.update_one({"number": 7}, {"$set": {"number": 7777}})
        assert changed.modified_count == 1
        return restored

    def without_one(*, client: Any, host: str, specs: Any) -> Any:
        built = build_indexes(client=client, host=host, specs=specs)
        client.shop.events.drop_index("device_hashed")
        return built

    monkeypatch.setattr(whole_set, "restore_archive", tampered)
    monkeypatch.setattr(whole_set, "build_indexes", without_one)
    with pytest.raises(VerificationError, match=r"failed its verification.*shop\.orders: digest") as raised:
        verification(shop_set).run()
    assert "shop.events: without the indexes device_hashed" in str(raised.value)
    entry, record, verified = newest(shop_set)
    assert entry.set_id == before.set_id
    assert entry.verdict == "failed"
    assert entry.set_id not in verified
    assert record is not None
    assert "shop.orders" in str(record.reason)
    assert left_behind() == []
    monkeypatch.undo()
    verification(shop_set).run()
    with repository_of(shop_set) as repository:  # one record per set: the newest
        assert len(repository.snapshots(tags=("part=verification",))) == 1


SLOW = {"$function": {"body": "function() { sleep(3000); return true; }", "args": [], "lang": "js"}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"count": 401}, r"400 documents instead of 401"),
    ({"at_least": 500}, r"400 documents instead of 500 or more"),
    ({"at_most": 3}, r"400 documents instead of 3 or fewer"),
    ({"filter": {"at": {"$gt": {"$date": "2026-01-01T00:00:00Z"}}}, "count": 0}, r"1 documents instead of 0"),
    ({"filter": {"_id": 399}, "equals": [{"_id": 399}]}, r'\[\{"_id": 399, "n": .* instead of \[\{"_id": 399\}\]'),
    ({"pipeline": [{"$nonsense": 1}], "count": 1}, r"the server refuses the question"),
    # a server may name the interrupted function instead of the time limit
    ({"filter": {"$expr": SLOW}, "count": 1, "timeout": "200ms"}, r"no answer within|the server refuses the question"),
]
RIGHT: list[dict[str, Any]] = [
    {"filter": {"_id": {"$in": [1, 0]}}, "equals": [{"_id": 0, "n": 0}, {"_id": 1, "n": {"$numberLong": "1"}}]},
    {"filter": {"at": {"$date": "2026-02-01T00:00:00Z"}}, "count": 1, "at_least": 1, "at_most": 1},
    {"pipeline": [{"$group": {"_id": None, "sum": {"$sum": "$n"}}}], "equals": [{"_id": None, "sum": 399 * 200}]},
    {"namespace": "shop.absent", "count": 0},
]


def test_answers_are_compared() -> None:
    with throwaway(VerificationSettings(mongod=mongod_binary())) as server:
        orders: list[dict[str, Any]] = [{"_id": number, "n": number} for number in range(400)]
        orders[399]["at"] = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
        server.client.shop.orders.insert_many(orders)

        def ask(check: dict[str, Any]) -> CheckResult:
            wanted = Check.model_validate({"name": "mine", "namespace": "shop.orders", **check})
            return run_check(server.client, wanted, host="here")

        for check, words in WRONG:
            result = ask(check)
            assert not result.ok, check
            assert re.search(words, result.words), result.words
        for check in RIGHT:
            assert ask(check).ok, ask(check).words
        with pytest.raises(ConfigurationError, match="extended JSON"):
            ask({"filter": {"_id": {"$oid": "no id"}}, "count": 1})


def test_a_check_that_fails_fails_the_verification(shop_set: Bench) -> None:
    wrong = {"name": "mine", "namespace": "shop.orders", "count": 401}
    with pytest.raises(VerificationError, match=r"1 of 2 checks failed: mine \(shop\.orders: 400 documents instead"):
        verification(shop_set, checks=[CHECKS[0], wrong]).run()
    assert newest(shop_set)[0].verdict == "failed"


def test_what_cannot_be_looked_at_gets_no_verdict(shop_set: Bench, tmp_path: Path) -> None:
    verification(shop_set).run()
    with pytest.raises(ConfigurationError, match=r"there is no /nowhere/mongod"):
        verification(shop_set, mongod="/nowhere/mongod").run()
    with pytest.raises(ConfigurationError, match=r"verification\.folder"):
        verification(shop_set, folder=str(tmp_path / "absent")).run()
    with pytest.raises(PreconditionError, match=r"verification\.max_size allows"):
        verification(shop_set, max_size="1KiB").run()
    assert newest(shop_set)[0].verdict == "verified"
    assert left_behind() == []


def test_a_planted_corruption_is_found(shop_set: Bench) -> None:
    """The largest pack holds documents: a few of its bytes are changed."""
    [packs] = Path(shop_set.objects.storage.spec.path).glob("*/data")
    pack = max((file for file in packs.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    whole = pack.read_bytes()
    pack.chmod(0o600)
    try:
        middle = len(whole) // 3
        pack.write_bytes(
            whole[:middle] + bytes(byte ^ 0xFF for byte in whole[middle : middle + 64]) + whole[middle + 64 :]
        )
        with pytest.raises(VerificationError, match=r"failed its verification: reading .*damaged"):
            verification(shop_set).run()
        assert newest(shop_set)[0].verdict == "failed"
    finally:
        pack.write_bytes(whole)
    verification(shop_set).run()
    assert newest(shop_set)[0].verified


def test_a_server_beside_the_agent_that_began_anew_gives_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod's server that is killed comes back without what it had not written yet: the set is not to blame."""
    (data := tmp_path / "db").mkdir()
    options = server_options(VerificationSettings(), data=str(data), sockets=str(tmp_path))
    server = Process(name="mongod", command=[mongod_binary(), *options], log_path=tmp_path / "log")
    monkeypatch.setenv(SOCKET_VARIABLE, str(tmp_path / SOCKET))
    try:
        server.start()
        with pytest.raises(VerificationError, match="differs"), throwaway(VerificationSettings()):
            raise VerificationError("it differs")
        words = r"died \(it differs\).*verification\.resources"
        with pytest.raises(TransientError, match=words), throwaway(VerificationSettings()):
            _kill_and_differ(server)
    finally:
        server.stop()


def _kill_and_differ(server: Process) -> None:
    server.kill()
    server.start()
    raise VerificationError("it differs")


_ABANDONED = """
import os, sys, time
from mongo_backup.objects.verification import Check, VerificationSettings
from mongo_backup.verify.throwaway import throwaway
with throwaway(VerificationSettings(mongod=sys.argv[1])) as server:
    print(server.data, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("whom", ["agent", "guard"])
def test_nothing_stays_of_a_verification_that_was_killed(whom: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ABANDONED, mongod_binary()], stdout=subprocess.PIPE, text=True
    ) as agent:
        assert agent.stdout is not None
        data = Path(agent.stdout.readline().strip())
        family = psutil.Process(agent.pid).children(recursive=True)
        assert any(process.name() == "mongod" for process in family)
        victim = agent.pid if whom == "agent" else family[0].pid
        os.kill(victim, signal.SIGKILL)
        wait_until(
            lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family),
            what="the server is gone",
            timeout=30,
        )
        agent.kill()
    if whom == "guard":  # nobody was left who could remove the folders: the next verification does
        for folder in left_behind():
            os.utime(folder, (0, 0))
        assert str(data) in sweep(VerificationSettings())
    assert not data.exists()
    wait_until(lambda: left_behind() == [], what="the folders are gone", timeout=30)
