from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mongo_backup.archive.writer import Write
from mongo_backup.engines import mongorestore
from mongo_backup.errors import ConfigurationError, PermanentError, TransientError

PASSWORD = "p@:/%?#& '\"\\ü"
CONNECTION = {"username": "restorer", "password": PASSWORD, "authSource": "admin"}
READ_ALL = "data = sys.stdin.buffer.read()\n(folder / 'end-of-input').write_text(str(len(data)))\n"
SAY = "print({words!r}, file=sys.stderr)\nsys.exit({status})\n"
DONE = "2026-01-01T00:00:00.000+0000\t21 document(s) restored successfully. 0 document(s) failed to restore."
StandIn = Callable[[str, str], Callable[[], dict[str, Any]]]


def feed(write: Write) -> None:
    for _ in range(100):
        write(memoryview(b"x" * 10_000))


def restore(arguments: tuple[str, ...] = (), **options: Any) -> mongorestore.Tally:
    options.setdefault("feed", feed)
    return mongorestore.restore(
        options.pop("feed"), hosts=["h1:1"], connection=CONNECTION, arguments=arguments, **options
    )


def test_how_it_is_called(stand_in: StandIn, tmp_path: Path) -> None:
    called = stand_in("mongorestore", READ_ALL + SAY.format(words=DONE, status=0))
    assert restore(("--drop",)).documents == 21
    call = called()
    assert call["arguments"][1] == "--archive"
    assert "--drop" in call["arguments"]
    for name in ("admin.system.version", "config.shards", "admin.system.users", "admin.mongo_backup_journal"):
        assert f"--nsExclude={name}" in call["arguments"]
    assert call["mode"] == 0o600
    assert call["config"].startswith('uri: "mongodb://restorer:p%40')
    assert "directConnection=true" in call["config"]
    assert PASSWORD not in " ".join([*call["arguments"], *call["environment"].values()])
    assert "restorer" not in " ".join(call["arguments"])
    assert not Path(call["path"]).exists()
    assert (tmp_path / "end-of-input").read_text() == "1000000"


def test_users_are_restored_when_asked_for(stand_in: StandIn) -> None:
    called = stand_in("mongorestore", READ_ALL + SAY.format(words=DONE, status=0))
    restore(accounts=True)
    assert "--nsExclude=admin.system.users" not in called()["arguments"]
    assert "--nsExclude=admin.system.version" in called()["arguments"]


def test_documents_that_failed_are_a_failure_although_its_status_is_0(stand_in: StandIn) -> None:
    words = (
        "t\tcontinuing through error: E11000 duplicate key error collection: shop.orders\n"
        "t\t19 document(s) restored successfully. 2 document(s) failed to restore."
    )
    stand_in("mongorestore", READ_ALL + SAY.format(words=words, status=0))
    with pytest.raises(PermanentError, match=r"could not restore 2 documents on h1:1: E11000 duplicate key"):
        restore()


def test_without_a_tally_it_is_no_success(stand_in: StandIn) -> None:
    stand_in("mongorestore", READ_ALL + SAY.format(words="t\tdone", status=0))
    with pytest.raises(PermanentError, match="did not say how many"):
        restore()


def test_its_failure_is_told_with_its_last_words(stand_in: StandIn) -> None:
    stand_in("mongorestore", READ_ALL + SAY.format(words="Failed: shop.orders: already exists", status=1))
    with pytest.raises(PermanentError, match=r"ended with status 1: Failed: shop\.orders: already exists"):
        restore()


def test_it_ends_before_the_archive_does(stand_in: StandIn) -> None:
    stand_in("mongorestore", SAY.format(words=f"Failed: auth error: Authentication failed. {PASSWORD}", status=1))
    with pytest.raises(ConfigurationError) as raised:
        restore()
    assert PASSWORD not in raised.value.message


def test_an_archive_that_fails_never_comes_to_its_end(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in("mongorestore", READ_ALL + SAY.format(words=DONE, status=0))

    def broken(write: Write) -> None:
        write(b"x" * 1000)
        raise TransientError("the store is gone")

    with pytest.raises(TransientError, match="the store is gone"):
        restore(feed=broken)
    assert not (tmp_path / "end-of-input").exists()


def test_its_words_are_logged_without_the_password(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stand_in("mongorestore", READ_ALL + SAY.format(words=f"connecting with {PASSWORD}\n{DONE}", status=0))
    restore()
    assert "mongorestore: connecting with ***" in caplog.messages
    assert PASSWORD not in caplog.text
