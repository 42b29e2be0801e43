"""Notifiers against a real HTTP server and a real SMTP server, with connections as Airflow finds them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import Any

import pytest

from mongo_backup.errors import ConfigurationError, PermanentError
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup_airflow.builders.telling import callbacks, deadlines
from mongo_backup_airflow.notifiers.webhook import WebhookNotifier
from sandbox.listener import Listener
from sandbox.mailbox import Mailbox, page
from sandbox.objects import configuration

TASK = {
    "dag_run": SimpleNamespace(dag_id="backup.shop.nightly", run_id="scheduled__1"),
    "exception": ValueError('there is no snapshot of this run: dump[1] failed, "x"'),
}
DEADLINE = {
    "dag_run": {"dag_id": "backup.shop.nightly", "dag_run_id": "scheduled__1", "state": "failed"},
    "deadline": {"id": "1", "deadline_time": datetime(2024, 1, 1, 6, tzinfo=UTC)},
}


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as found:
        yield found


def connect(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", json.dumps({"conn_type": "http", **fields}))


def test_a_failure(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    connect(monkeypatch, host=f"{listener.url}/T0/s3cret", password="t0ken")
    WebhookNotifier(connection="chat", event="failure")(dict(TASK))
    [seen] = listener.seen
    assert (seen.path, seen.headers["Authorization"]) == ("/T0/s3cret", "Bearer t0ken")
    assert json.loads(seen.body) == {
        "event": "failure",
        "dag": "backup.shop.nightly",
        "run": "scheduled__1",
        "reason": 'there is no snapshot of this run: dump[1] failed, "x"',
        "text": 'backup.shop.nightly failed: there is no snapshot of this run: dump[1] failed, "x"',
    }


def test_a_success(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    host, port = listener.url.removeprefix("http://").split(":")
    connect(monkeypatch, host=host, port=int(port), schema="http", login="bot", password="p@ss:w/")
    WebhookNotifier(connection="chat", event="success")({"dag_run": TASK["dag_run"]})
    assert listener.seen[0].headers["Authorization"] == "Basic Ym90OnBAc3M6dy8="
    assert json.loads(listener.seen[0].body)["text"] == "backup.shop.nightly succeeded: scheduled__1"


def test_a_deadline_awaited_as_in_the_triggerer(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    connect(monkeypatch, host=listener.url)

    async def tell() -> None:
        await WebhookNotifier(connection="chat", event="late", context=DEADLINE)  # type: ignore[arg-type]

    asyncio.run(tell())
    document = json.loads(listener.seen[0].body)
    assert document["run"] == "scheduled__1"
    assert document["text"] == (
        "backup.shop.nightly has no good run by its deadline: due 2024-01-01 06:00:00+00:00, "
        "the run of that time is failed"
    )


def test_a_connection_that_is_written_as_a_uri(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", f"{listener.url}/services/T0/B0")
    WebhookNotifier(connection="chat", event="success")(dict(TASK))
    assert [asked.path for asked in listener.seen] == ["/services/T0/B0"]


def test_what_goes_wrong_names_no_address(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    connect(monkeypatch, host=f"{listener.url}/broken")
    listener.statuses.append(500)
    with pytest.raises(PermanentError, match="the address of connection chat answered with 500") as caught:
        WebhookNotifier(connection="chat", event="success")(dict(TASK))
    assert "broken" not in caught.value.message
    connect(monkeypatch, password="x")
    with pytest.raises(ConfigurationError, match="connection 'chat' has no http or https address"):
        WebhookNotifier(connection="chat", event="success")(dict(TASK))


def mail_of(monkeypatch: pytest.MonkeyPatch, mailbox: Mailbox) -> dict[str, Any]:
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(mailbox.connection))
    told = [{"on": ["failure", "late"], "mail": {"connection": "mail", "to": ["dba@shop.example"]}}]
    session = {"schedule": "0 2 * * *", "deadline": "06:00"}
    found = BackupConfiguration.model_validate(configuration(notifications=told, session=session))
    return {**callbacks(found), **deadlines(found, found.spec.sessions[0])}


def test_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mailbox() as mailbox:
        found = mail_of(monkeypatch, mailbox)
        assert found.keys() == {"on_failure_callback", "deadline"}
        found["on_failure_callback"][0](dict(TASK))
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[mongo-backup] backup.shop.nightly failed"
    assert mail["To"] == "dba@shop.example"
    assert "dump[1] failed, &#34;x&#34;" in page(mail)


def test_a_mail_of_a_deadline_awaited_as_in_the_triggerer(monkeypatch: pytest.MonkeyPatch) -> None:
    with Mailbox() as mailbox:
        (alert,) = mail_of(monkeypatch, mailbox)["deadline"]
        assert alert.interval == timedelta(hours=4)

        async def tell() -> None:
            await resolve_name(alert.callback.path)(**alert.callback.kwargs, context=DEADLINE)

        asyncio.run(tell())
    (mail,) = mailbox.mails
    assert mail["Subject"] == "[mongo-backup] backup.shop.nightly has no good run by its deadline"
    assert "due 2024-01-01 06:00:00+00:00, the run of that time is failed" in page(mail)
