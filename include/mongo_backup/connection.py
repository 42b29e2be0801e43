"""How the product connects to MongoDB: one place for addresses, TLS, authentication and time limits."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import (
    AutoReconnect,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.errors import (
    ConfigurationError as DriverConfigurationError,
)

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, MongoBackupError, PermanentError, TransientError
from mongo_backup.objects.app_binding import AppBinding

Client = MongoClient[dict[str, Any]]

_WRONG_CREDENTIALS = 18
_REFUSED = "{host} refused the user name or password: check the AppBinding's credentials"
_NOT_AUTHORIZED = 13
_RETRY_CODES = {6, 7, 89, 91, 189, 262, 9001, 10107, 11600, 11602, 13388, 13435, 13436}
"""Server error codes after which the same call may work: the drivers' "retryable" ones
(https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md)."""


def said(error: PyMongoError) -> str:
    """What the server said, with the name of its code.

    The driver adds the server's whole reply, which people cannot read and which may hold the documents that were to be
    written: that is left out.
    """
    text, whole, _ = str(error).partition(", full error: ")
    if not isinstance(error, OperationFailure) or not whole:
        return text
    details = error.details or {}
    first = next(iter(details.get("writeErrors") or ()), None)
    if first is not None:
        return f"{text}: {first.get('errmsg')}"
    return f"{text} ({details.get('codeName') or error.code})"


def translate(error: PyMongoError, *, doing: str, host: str) -> MongoBackupError:
    """Turn a driver's error into one of ours; `doing` says what was tried, such as "locking the member".

    The server's words are kept: they name hosts and codes, never passwords.
    """
    text = f"{doing} on {host} failed: {said(error)[:400]}"
    if isinstance(error, OperationFailure):
        if error.code == _WRONG_CREDENTIALS:
            return ConfigurationError(_REFUSED.format(host=host))
        if error.code == _NOT_AUTHORIZED and "requires authentication" in str(error):
            return ConfigurationError(f"{host} wants a login: give the AppBinding `credentials`")
        if error.code == _NOT_AUTHORIZED:
            return ConfigurationError(f"{text}; grant the privilege to the backup user (docs/reference/privileges.md)")
        return TransientError(text) if error.timeout or error.code in _RETRY_CODES else PermanentError(text)
    if isinstance(error, DriverConfigurationError):
        return ConfigurationError(text)
    if isinstance(error, ServerSelectionTimeoutError) and "AuthenticationFailed" in str(error):
        # The driver forgets a member that refused it, and the next call does not find it.
        return ConfigurationError(_REFUSED.format(host=host))
    if isinstance(error, ServerSelectionTimeoutError | AutoReconnect | NetworkTimeout):
        return TransientError(f"{host} cannot be reached ({doing}): {str(error)[:300]}")
    return PermanentError(text)


@contextmanager
def mongo_errors(doing: str, host: str) -> Iterator[None]:
    """Raise errors of the driver inside the block as ours."""
    try:
        yield
    except PyMongoError as error:
        raise translate(error, doing=doing, host=host) from error


class Connector:
    """Opens clients to the members of one deployment; closes them all at its end.

    :param binding: the deployment.
    :param credentials: the request's credentials.
    :param restore: use the AppBinding's `restore_credentials`, if it has any.
    :param timeout_seconds: how long a server may take to be found and to accept a connection.
    """

    def __init__(
        self,
        *,
        binding: AppBinding,
        credentials: Credentials,
        restore: bool = False,
        timeout_seconds: float = 10,
    ) -> None:
        spec = binding.spec
        self.binding = binding
        self._credential = credentials.get((spec.restore_credentials if restore else None) or spec.credentials)
        self._timeout_ms = int(timeout_seconds * 1000)
        self._clients: dict[tuple[str, ...], Client] = {}
        self._clients_lock = threading.Lock()
        self._files = tempfile.TemporaryDirectory(prefix="mongo-backup-tls-")

    def __enter__(self) -> Connector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every client and remove the certificates."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        self._files.cleanup()

    @property
    def username(self) -> str | None:
        """The user that connects, if there is one."""
        return self._credential.username if self._credential else None

    def member(self, host: str) -> Client:
        """Return a client that talks to this one member, whatever its state."""
        return self._client((host,), directConnection=True)

    def stranger(self, host: str) -> Client:
        """Return a client that talks to this one member without logging in: an arbiter knows no users, but `hello`."""
        return self._client((host,), login=False, directConnection=True)

    def primary(self, hosts: tuple[str, ...], replica_set: str) -> Client:
        """Return a client that finds the set's primary and follows it."""
        return self._client(hosts, replicaSet=replica_set)

    def mongos(self) -> Client | None:
        """Return a client to the routers, if the AppBinding names any."""
        return self._client(self.binding.spec.mongos) if self.binding.spec.mongos else None

    def options(self, *, login: bool = True) -> dict[str, Any]:
        """The driver's options for this deployment (with the password, unless `login` is off: never log them)."""
        spec = self.binding.spec
        options: dict[str, Any] = {
            "appname": "mongo-backup",
            "serverSelectionTimeoutMS": self._timeout_ms,
            "connectTimeoutMS": self._timeout_ms,
            "retryReads": True,
        }
        if login:
            options.update(self._authentication())
        if spec.tls is not None and spec.tls.enabled:
            options["tls"] = True
            options["tlsAllowInvalidHostnames"] = spec.tls.allow_invalid_hostnames
            for option, path, secret in (
                ("tlsCAFile", spec.tls.ca_file, "ca"),
                ("tlsCertificateKeyFile", spec.tls.certificate_key_file, "certificate_key"),
            ):
                if (file := path or self._secret_file(secret)) is not None:
                    options[option] = file
        return options

    def _authentication(self) -> dict[str, Any]:
        spec, credential = self.binding.spec, self._credential
        if credential is None:
            return {}
        if spec.auth_mechanism == "MONGODB-X509":
            return {"authMechanism": "MONGODB-X509", "authSource": "$external"}
        options: dict[str, Any] = {
            "username": credential.username,
            "password": credential.password_text(),
            "authSource": spec.auth_source,
        }
        if spec.auth_mechanism is not None:
            options["authMechanism"] = spec.auth_mechanism
        return options

    def _secret_file(self, name: str) -> str | None:
        """Write a certificate of the credential into a file that only this user reads: the driver wants a path."""
        text = self._credential.secret(name) if self._credential else None
        if text is None:
            return None
        path = Path(self._files.name) / f"{name}.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        return str(path)

    def _client(self, hosts: tuple[str, ...], *, login: bool = True, **options: Any) -> Client:
        key = (*hosts, str(login), *map(str, options.items()))
        with self._clients_lock, mongo_errors("connecting", ",".join(hosts)):
            if key not in self._clients:
                self._clients[key] = MongoClient(list(hosts), **self.options(login=login), **options)
            return self._clients[key]
