"""Credentials as the agent gets them: one JSON document, keyed by reference, read once from a file or pipe.

The document is `{"connection:shop": {"username": "...", "password": "...", "extra": {"ca": "..."}}}`.
Its path comes in the environment variable `MONGO_BACKUP_CREDENTIALS`: a pipe (`/dev/fd/N`) from the local runner,
a file that only you can read on the command line. In a pod it is a folder of mounted Secrets: the document is
`run/credentials.json`, and `secret/<name>/` holds the Secret of that name, a file for each of its keys: `username`,
`password`, any other is an extra value.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError

from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference

CREDENTIALS_VARIABLE = "MONGO_BACKUP_CREDENTIALS"


class Credential(Model):
    """One credential. Its values never show in a representation or a log."""

    username: str | None = None
    password: SecretStr | None = None
    extra: dict[str, SecretStr] = Field(default_factory=dict)
    """Further values by name, such as `ca`, `certificate_key`, `session_token`, `keyfile_dict`."""

    def secret(self, name: str) -> str | None:
        """An extra value in the clear, or None."""
        value = self.extra.get(name)
        return value.get_secret_value() if value is not None else None

    def password_text(self) -> str | None:
        """The password in the clear, or None."""
        return self.password.get_secret_value() if self.password is not None else None


class Credentials(Model):
    """All credentials of one request."""

    values: dict[str, Credential] = Field(default_factory=dict)

    def get(self, reference: CredentialsReference | None) -> Credential | None:
        """The credential that a reference names; None for no reference.

        :raises ConfigurationError: the reference names one that was not handed over.
        """
        if reference is None:
            return None
        try:
            return self.values[reference.key]
        except KeyError:
            raise ConfigurationError(
                f"credential {reference.key} is missing: create the Airflow Connection or Secret of that name"
            ) from None


def read_credentials(path: str | None = None) -> Credentials:
    """Read the document from `path`, else from where the environment says; nothing there means no credentials.

    :raises ConfigurationError: the document is no JSON or not of the form above (its content is never quoted).
    """
    source = path or os.environ.get(CREDENTIALS_VARIABLE)
    if not source:
        return Credentials()
    try:
        values = _read_folder(Path(source)) if Path(source).is_dir() else _read_document(Path(source))
        return Credentials.model_validate({"values": values})
    except OSError as error:
        raise ConfigurationError(f"the credentials file cannot be read: {error.strerror}") from None
    except (ValueError, ValidationError):
        raise ConfigurationError(
            "the credentials document is no JSON of the form {reference: {username, password}}"
        ) from None


def _read_document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8") or "{}")
    return found


def _read_folder(folder: Path) -> dict[str, Any]:
    document = folder / "run" / "credentials.json"
    values = _read_document(document) if document.exists() else {}
    secrets = folder / "secret"
    for secret in sorted(secrets.iterdir()) if secrets.is_dir() else ():
        values[f"secret:{secret.name}"] = _read_secret(secret)
    return values


def _read_secret(folder: Path) -> dict[str, Any]:
    """One mounted Secret. The newline that an editor or `echo` left at the end of a value is no part of it."""
    keys = {
        file.name: file.read_text("utf-8").removesuffix("\n")
        for file in folder.iterdir()
        if not file.name.startswith("..")  # the kubelet's own, behind the links
    }
    named: dict[str, Any] = {name: keys.pop(name) for name in ("username", "password") if name in keys}
    return {**named, "extra": keys}
