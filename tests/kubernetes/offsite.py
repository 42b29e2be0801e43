"""A second store with a key and a password of its own, for copies."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr

from mongo_backup.credentials import Credential
from sandbox import objects
from sandbox.kubernetes.server_image import IMAGE
from sandbox.s3 import AccessKey, S3Store

COPY = "offsite"
KEY = AccessKey("OFFSITEACCESSKEY0002", "another/secret+key=987")
PASSWORD = "p@ss:w/ %?#&'\" of the copy"
CREDENTIALS = {
    "offsite_key": Credential(username=KEY.access_key, password=SecretStr(KEY.secret_key)),
    "offsite_password": Credential(password=SecretStr(PASSWORD)),
}
"""By the names of their Airflow Connections."""
SECRETS = (KEY.secret_key, PASSWORD)
REFERENCES = {f"connection:{name}" for name in CREDENTIALS}
"""As the agent's document of credentials calls them."""

SESSION: dict[str, Any] = {
    "copies": [{"name": COPY, "storage": {"name": COPY}, "encryption": {"connection": "offsite_password"}}]
}
"""Fields of a session whose sets are copied there."""
VERIFICATION: dict[str, Any] = {
    "image": IMAGE,
    "resources": {"requests": {"memory": "300Mi"}, "limits": {"memory": "1Gi"}},
    "cache": "256MiB",
}
"""Settings of a verification beside a server in the same pod."""


def storage(store: S3Store) -> dict[str, Any]:
    """Return the `BackupStorage` of the copy."""
    found = objects.s3_storage(store, name=COPY)
    found["spec"]["credentials"] = {"connection": "offsite_key"}
    return found


def connections() -> dict[str, str]:
    """Airflow's environment: the Connections."""
    return {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(
            {"conn_type": "generic", "login": each.username, "password": each.password_text()}
        )
        for name, each in CREDENTIALS.items()
    }
