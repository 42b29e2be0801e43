"""Copies of a session: what they mean, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.objects.test_loader import BINDING, POLICY, STORAGE, messages

from mongo_backup.errors import ConfigurationError
from mongo_backup.manifest.model import Manifest
from mongo_backup.manifest.objects import documents_of, missing_policies
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.object_set import ObjectSet
from mongo_backup.objects.resolved import Objects

OFFSITE = """
apiVersion: mongo-backup/v1
kind: BackupStorage
metadata: {name: offsite}
spec: {provider: local, path: /offsite}
"""
ALIAS = """
apiVersion: mongo-backup/v1
kind: BackupStorage
metadata: {name: alias}
spec: {provider: s3, bucket: backups, endpoint: "http://store:9000", credentials: {secret: {name: other}}}
"""
OTHER = """
apiVersion: mongo-backup/v1
kind: BackupConfiguration
metadata: {name: other}
spec:
  target: {name: shop}
  storage: {name: offsite}
  encryption: {connection: key}
  sessions: [{name: nightly}]
"""


def load(folder: Path, nightly: str, hourly: str = "") -> ObjectSet:
    """A configuration whose sessions have these copies."""
    copies = {"nightly": nightly, "hourly": hourly}
    sessions = "".join(f"\n    - {{name: {name}, copies: [{words}]}}" for name, words in copies.items())
    configuration = f"""
apiVersion: mongo-backup/v1
kind: BackupConfiguration
metadata: {{name: shop}}
spec:
  target: {{name: shop}}
  storage: {{name: s3}}
  encryption: {{connection: key}}
  sessions: {sessions}
"""
    documents = (STORAGE, BINDING, POLICY, OFFSITE, ALIAS, OTHER, configuration)
    (folder / "all.yaml").write_text("---".join(documents))
    return load_directory(folder)


def test_a_copy_takes_the_place_of_the_repository(tmp_path: Path) -> None:
    far = "name: far, storage: {name: offsite}, repository: shops, encryption: {connection: far}"
    objects = load(
        tmp_path,
        f"{{{far}, retention_policy: {{name: month}}}}, {{name: near, storage: {{name: s3}}, repository: copy}}",
        f"{{{far}}}",
    )
    assert objects.errors == {}
    nightly = objects.resolve("shop", "nightly")
    assert [each.settings.name for each in nightly.copies] == ["far", "near"]
    copy = nightly.of_copy("far")
    assert (copy.storage.name, copy.configuration.repository_name) == ("offsite", "shops")
    assert copy.configuration.spec.encryption.connection == "far"
    assert copy.retention is not None
    assert copy.configuration.name == "shop"
    near = nightly.of_copy("near")
    assert (near.configuration.repository_name, near.configuration.spec.encryption.connection) == ("copy", "key")
    assert objects.resolve("shop", "hourly").of_copy("far").retention is None
    assert [each.settings.name for each in objects.resolve("shop").copies] == ["far", "near"]
    with pytest.raises(ConfigurationError, match="no copy 'fat'; these exist: far, near"):
        nightly.of_copy("fat")
    document = {"spec": nightly.configuration.spec.model_dump(mode="json", exclude_none=True)}
    assert missing_policies({("BackupConfiguration", "shop"): document}) == ["month"]


@pytest.mark.parametrize(
    ("nightly", "hourly", "words"),
    [
        ("{name: far, storage: {name: offsit}}", "", "no BackupStorage 'offsit'; these exist: alias, offsite, s3"),
        (
            "{name: far, storage: {name: offsite}, retention_policy: {name: moth}}",
            "",
            "copies[0].retention_policy.name: there is no RetentionPolicy 'moth'",
        ),
        ("{name: far, storage: {name: s3}}", "", "the copy would be the repository of this configuration itself"),
        ("{name: far, storage: {name: s3}, repository: /shop/}", "", "of this configuration itself"),
        (
            "{name: far, storage: {name: offsite}, repository: other}",
            "",
            "the copy would be the repository of BackupConfiguration 'other' itself",
        ),
        (
            "{name: far, storage: {name: offsite}}, {name: far, storage: {name: s3}, repository: x}",
            "",
            "two copies are named far",
        ),
        (
            "{name: far, storage: {name: offsite}}",
            "{name: far, storage: {name: offsite}, repository: x}",
            "session 'nightly' has a copy 'far' with another storage, repository, encryption or maintenance",
        ),
        (
            "{name: far, storage: {name: offsite}}",
            "{name: off, storage: {name: offsite}}",
            "the copy 'far' is the same repository",
        ),
        (
            "{name: far, storage: {name: offsite}, encryption: {secret: {name: key}}}",
            "",
            "copies[0].encryption: this names a Kubernetes Secret",
        ),
        ("{name: far, storage: {name: alias}}", "", "of this configuration itself"),
        ("{name: far, storage: {name: alias}, repository: x}", "", "the BackupStorage's `credentials` names a Kube"),
        ("{storage: {name: offsite}}", "", "copies[0].name: is missing"),
        ("{name: far, storage: {name: offsite}, directory: x}", "", "copies[0].directory: is no field here"),
    ],
)
def test_what_cannot_be(tmp_path: Path, nightly: str, hourly: str, words: str) -> None:
    assert words in "\n".join(messages(load(tmp_path, nightly, hourly)))


def test_the_objects_of_a_copy_come_back_out_of_a_manifest(tmp_path: Path) -> None:
    copy = "{name: far, storage: {name: offsite}, retention_policy: {name: month}}"
    nightly = load(tmp_path, copy).resolve("shop", "nightly")
    assert nightly.retention is None
    written: dict[str, Any] = {"objects": nightly.model_dump(mode="json", by_alias=True, exclude_none=True)}
    manifest = Manifest.model_construct(**written)
    found = documents_of([manifest])
    assert found.keys() >= {("BackupStorage", "offsite"), ("BackupStorage", "s3"), ("RetentionPolicy", "month")}
    assert missing_policies(found) == []
    assert Objects.model_validate(manifest.objects) == nightly
