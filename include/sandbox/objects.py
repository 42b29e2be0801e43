"""The product's objects and credentials for what the sandbox runs: what a user would write in `include/config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from mongo_backup.credentials import Credential, Credentials
from sandbox.deployment import Deployment
from sandbox.s3 import S3Store

API = {"apiVersion": "mongo-backup/v1"}
STORE_CONNECTION = "sandbox-s3"
ENCRYPTION_CONNECTION = "sandbox-encryption"
ENCRYPTION_PASSWORD = "p@ss:w/ %?#&'\" of the repository"


def s3_storage(store: S3Store, *, name: str = "store", prefix: str = "") -> dict[str, Any]:
    """Return the `BackupStorage` of an S3 store."""
    spec = {
        "provider": "s3",
        "endpoint": store.endpoint,
        "bucket": store.bucket_name,
        "region": "us-east-1",
        "path_style": True,
        "prefix": prefix,
        "credentials": {"connection": STORE_CONNECTION},
    }
    return {**API, "kind": "BackupStorage", "metadata": {"name": name}, "spec": spec}


def local_storage(folder: Path, *, name: str = "store") -> dict[str, Any]:
    """Return the `BackupStorage` of a folder."""
    spec = {"provider": "local", "path": str(folder)}
    return {**API, "kind": "BackupStorage", "metadata": {"name": name}, "spec": spec}


def configuration(
    *,
    name: str = "shop",
    target: str = "sandbox",
    storage: str = "store",
    session: dict[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """Return a `BackupConfiguration` with one session, `manual` unless told."""
    body = {
        "target": {"name": target},
        "storage": {"name": storage},
        "encryption": {"connection": ENCRYPTION_CONNECTION},
        "sessions": [{"name": "manual", **(session or {})}],
        **spec,
    }
    return {**API, "kind": "BackupConfiguration", "metadata": {"name": name}, "spec": body}


def retention_policy(*, name: str = "keep", **spec: Any) -> dict[str, Any]:
    """Return a `RetentionPolicy`."""
    return {**API, "kind": "RetentionPolicy", "metadata": {"name": name}, "spec": spec}


def credentials(deployment: Deployment, store: S3Store | None = None) -> Credentials:
    """Return every credential that the objects above name."""
    values = {
        f"connection:{name}": Credential(username=user.username, password=SecretStr(user.password))
        for name, user in deployment.connections().items()
    }
    values[f"connection:{ENCRYPTION_CONNECTION}"] = Credential(password=SecretStr(ENCRYPTION_PASSWORD))
    if store is not None:
        values[f"connection:{STORE_CONNECTION}"] = Credential(
            username=store.key.access_key, password=SecretStr(store.key.secret_key)
        )
    return Credentials(values=values)


def write_objects(folder: Path, *objects: dict[str, Any]) -> None:
    """Write objects as one YAML file each, as a user keeps them."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in objects:
        path = folder / f"{each['kind'].lower()}-{each['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(each, sort_keys=False), "utf-8")


def credentials_document(credentials: Credentials) -> str:
    """Return the JSON document that the agent reads (see `mongo_backup.credentials`), secrets in the clear."""
    values = {
        reference: {
            "username": each.username,
            "password": each.password_text(),
            "extra": {name: value.get_secret_value() for name, value in each.extra.items()},
        }
        for reference, each in credentials.values.items()
    }
    return json.dumps(values)
