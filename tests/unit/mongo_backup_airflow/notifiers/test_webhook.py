"""Notifiers against a real HTTP server and a real SMTP server, with connections as Airflow finds them."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from types import SimpleNamespace
from typing import Any

import pytest

from mongo_backup.errors import ConfigurationError, PermanentError
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup_airflow.notifiers.webhook import WebhookNotifier
from sandbox.listener import Listener
from sandbox.objects import configuration

TASK = {
    "dag_run": SimpleNamespace(dag_id="backup.shop.nightly", run_id="scheduled__1"),
    "exception": ValueError('there is no snapshot of this run: dump[1] failed, "x"'),
}
DEADLINE = {
    "dag_run": {"dag_id": "backup.shop.nightly", "dag_run_id": "scheduled__1", "state": "failed"},
    "deadline": {"id": "1", "deadline_time": "2024-01-01T06:00:00+00:00"},
}


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
        "backup.shop.nightly has no good run by its deadline: due 2024-01-01T06:00:00+00:00, "
        "the run of that time is failed"
    )


def test_what_goes_wrong_names_no_address(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    connect(monkeypatch, host=f"{listener.url}/broken")
    listener.statuses.append(500)
    with pytest.raises(PermanentError, match="the address of connection chat answered with 500") as caught:
        WebhookNotifier(connection="chat", event="success")(dict(TASK))
    assert "broken" not in caught.value.message
    connect(monkeypatch, password="x")
    with pytest.raises(ConfigurationError, match="connection 'chat' has no http or https address"):
        WebhookNotifier(connection="chat", event="success")(dict(TASK))


class Mailbox(socketserver.StreamRequestHandler):
    """As much of an SMTP server (RFC 5321) as takes one mail."""

    mails: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        text = ""
        for line in self.rfile:
            word = line.strip().upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    text += part.decode()
                self.mails.append(text)
            self.wfile.write(b"250 fine\r\n" if word != b"QUIT" else b"221 bye\r\n")


def test_a_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    from mongo_backup_airflow.builders.telling import callbacks

    mails: list[str] = []
    handler = type("Handler", (Mailbox,), {"mails": mails})
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
    with serving(server):
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "backup@shop.example"}
        fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": server.server_address[1], "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps(fields))
        told = [{"on": ["failure"], "mail": {"connection": "mail", "to": ["dba@shop.example"]}}]
        found = callbacks(BackupConfiguration.model_validate(configuration(notifications=told)))
        assert found.keys() == {"on_failure_callback"}
        found["on_failure_callback"][0](dict(TASK))
    mail = message_from_string("".join(mails))
    assert mail["Subject"] == "[mongo-backup] backup.shop.nightly failed"
    assert mail["To"] == "dba@shop.example"
    [part] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    assert "dump[1] failed, &#34;x&#34;" in str(part.get_payload(decode=True))
