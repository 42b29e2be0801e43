"""Sends a JSON document to the address of an Airflow Connection."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, BaseNotifier

from mongo_backup.errors import ConfigurationError, PermanentError
from mongo_backup.hooks.http import basic, exchange
from mongo_backup_airflow.notifiers.words import facts

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context

TIMEOUT_SECONDS = 30.0
SCHEMES = ("http", "https")


class WebhookNotifier(BaseNotifier):
    """Tells one event of a run. Works in callbacks of tasks and, awaited, in deadline alerts.

    :param connection: id of the Airflow Connection; it is looked up when something is told.
    :param event: `failure`, `success` or `late`.
    """

    def __init__(self, *, connection: str, event: str, context: Context | None = None) -> None:
        super().__init__(context=context)
        self.connection = connection
        self.event = event

    def notify(self, context: Context) -> None:
        """Send it.

        :raises MongoBackupError: there is no such address, or it does not take the document.
        """
        self._post(BaseHook.get_connection(self.connection), context)

    async def async_notify(self, context: Context) -> None:
        """Send it from the triggerer."""
        connection = await BaseHook.aget_connection(self.connection)
        await asyncio.to_thread(self._post, connection, context)

    def _post(self, connection: Connection, context: Any) -> None:
        self.log.info("Told of %s: %s", self.event, post(connection, facts(self.event, context)))


def post(connection: Connection, document: dict[str, str]) -> str:
    """Send a document to a Connection's address; return in words what came back. The address may be a secret.

    :raises ConfigurationError: the Connection has no http or https address.
    :raises TransientError: the server does not answer.
    :raises PermanentError: it answers with an error.
    """
    shown = f"the address of connection {connection.conn_id}"
    headers = {"User-Agent": "mongo-backup", "Content-Type": "application/json"}
    if connection.password:
        login = connection.login
        token = f"Bearer {connection.password}"
        headers["Authorization"] = basic(login, connection.password) if login else token
    status = exchange(
        address(connection),
        method="POST",
        headers=headers,
        body=json.dumps(document).encode(),
        shown=shown,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    if not 200 <= status < 300:
        raise PermanentError(f"{shown} answered with {status}")
    return f"{shown} answered with {status}"


def address(connection: Connection) -> str:
    """The Connection's address: its host, with schema and port where the host has none.

    A Connection that is written as a URI, `https://chat.example/hook`, has its path in `schema`.

    :raises ConfigurationError: it is none.
    """
    host, schema = connection.host or "", connection.schema or ""
    if "://" not in host and host:
        port = f":{connection.port}" if connection.port else ""
        if schema in ("", *SCHEMES):
            host = f"{schema or 'https'}://{host}{port}"
        elif connection.conn_type in SCHEMES:
            host = f"{connection.conn_type}://{host}{port}/{schema}"
    if not host.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"connection {connection.conn_id!r} has no http or https address: write it into `host`, with its path"
        )
    return host
