"""Copying needs both stores and both passwords, and nothing of the target."""

from __future__ import annotations

from pathlib import Path

from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.resolved import CopyObjects, Objects
from mongo_backup.objects.storage import BackupStorage
from mongo_backup_airflow.hooks.credentials import copy_references, secret_names
from sandbox.objects import API, configuration, local_storage


def test_copying_needs_both_stores_and_nothing_of_the_target() -> None:
    def storage(name: str) -> BackupStorage:
        document = local_storage(Path("/backups"), name=name)
        document["spec"]["credentials"] = {"secret": {"name": f"key-of-{name}"}}
        return BackupStorage.model_validate(document)

    binding = {"topology": "standalone", "hosts": ["db:1"], "credentials": {"secret": {"name": "of-the-target"}}}
    document = configuration(target="shop", storage="store")
    document["spec"]["encryption"] = {"secret": {"name": "password"}}
    settings = {"name": "far", "storage": {"name": "offsite"}, "encryption": {"secret": {"name": "other-password"}}}
    objects = Objects.model_validate(
        {
            "configuration": document,
            "target": {**API, "kind": "AppBinding", "metadata": {"name": "shop"}, "spec": binding},
            "storage": storage("store"),
            "addon": builtin_addon(),
            "copies": [CopyObjects(settings=CopySettings.model_validate(settings), storage=storage("offsite"))],
        }
    )
    assert set(secret_names(copy_references(objects, "far"))) == {
        "key-of-store",
        "password",
        "key-of-offsite",
        "other-password",
    }
