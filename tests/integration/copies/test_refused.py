"""A store that refuses to delete (a bucket policy of SeaweedFS), and one that hides instead (S3's Object Lock)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest
from tests.integration.copies.support import credential, day, repository, s3, save_set, sets

from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.repository.restic import Repository
from mongo_backup.repository.upkeep import RefusedDeletionError
from mongo_backup.retention.apply import apply_plan, plan_for
from sandbox.s3 import S3Store

pytestmark = pytest.mark.integration

PASSWORD = "kept for ever"
SMALL = {"shard0": b"x" * 1000}


@pytest.fixture
def kept(s3_store: S3Store) -> Iterator[Repository]:
    """Two sets where nobody may delete but locks."""
    client, bucket = s3_store.client(), s3_store.bucket("no-delete")
    with repository(s3(s3_store, bucket=bucket), credential(s3_store), password=PASSWORD) as made:
        made.ensure()
        save_set(made, "old", day(1), SMALL)
        save_set(made, "new", day(2), SMALL)
        made.forget([made.snapshots(tags=("set=new", "part=archive"))[0].id])  # so that a prune has something to do
        forbidden = [f"arn:aws:s3:::{bucket}/shop/{kind}/*" for kind in ("data", "index", "snapshots")]
        statement = {"Sid": "kept", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
        policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": forbidden}]}
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        yield made


def test_what_cannot_be_deleted_is_a_warning(kept: Repository, caplog: pytest.LogCaptureFixture) -> None:
    catalog = SetCatalog.read(kept)
    plan = plan_for(catalog, RetentionSpec(last=1))
    assert [each.set_id for each in plan.forgotten] == ["old"]
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert apply_plan(kept, catalog, plan) == ()
    assert time.monotonic() - began < 40, "restic alone would ask for 48 s, for each of two tries"
    assert "does not let go of set old: it stays a complete set" in caplog.text
    assert "Access Denied" in caplog.text
    assert sets(kept) == ["old", "new"]
    with pytest.raises(RefusedDeletionError, match="does not let go of data"):
        kept.prune()
    assert kept.locks() == (), "restic's own lock may go"
    kept.check(read_data_subset="1/1")


def test_object_lock_hides_what_is_forgotten(s3_store: S3Store) -> None:
    client, bucket = s3_store.client(), "locked"
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=configuration)
    with repository(s3(s3_store, bucket=bucket), credential(s3_store), password=PASSWORD) as made:
        made.ensure()
        save_set(made, "old", day(1), SMALL)
        snapshots = made.snapshots()
        made.forget([each.id for each in snapshots])
        assert made.snapshots() == ()
    versions = client.list_object_versions(Bucket=bucket, Prefix="shop/snapshots/")["Versions"]
    assert {each["Key"].rpartition("/")[2] for each in versions} == {each.id for each in snapshots}
