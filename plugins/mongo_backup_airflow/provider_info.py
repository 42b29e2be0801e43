"""What Airflow's entry point `apache_airflow_provider` asks: who we are. No connection type of our own is needed."""

from __future__ import annotations

from typing import Any

from mongo_backup import __version__


def get_provider_info() -> dict[str, Any]:
    """Describe the provider (airflow/provider_info.schema.json).

    Credentials stand in connections of types that exist: `mongo` or `generic` for MongoDB users and repository
    passwords, `aws` for S3.
    """
    return {
        "package-name": "mongo-backup",
        "name": "MongoDB backup",
        "description": "Backs up and restores MongoDB into restic repositories.",
        "versions": [__version__],
    }
