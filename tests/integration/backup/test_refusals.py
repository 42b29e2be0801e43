"""What can be known beforehand is known in `prepare`: a clear error, and nothing was touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr
from tests.integration.backup.conftest import ObjectsFor

from mongo_backup.agent.contract import PrepareResult
from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import (
    ConfigurationError,
    ConflictError,
    MongoBackupError,
    PreconditionError,
    TargetBusyError,
    TransientError,
)
from mongo_backup.objects.resolved import Objects
from sandbox import objects as sandbox_objects
from sandbox.cluster import ShardedCluster
from sandbox.deployment import BACKUP_CONNECTION
from sandbox.faults.judge import nothing_is_held, snapshots
from sandbox.inline import InlineBackup
from sandbox.ports import lease_port
from sandbox.s3 import S3Store

CredentialsFor = Callable[[ShardedCluster], Credentials]


def refused(objects: Objects, credentials: Credentials, kind: type[MongoBackupError], *texts: str) -> None:
    """Run a backup that must be refused with an error of this kind that has these texts, and no password."""
    with pytest.raises(kind) as caught:
        InlineBackup(objects=objects, credentials=credentials).step("prepare", PrepareResult)
    assert type(caught.value) is kind
    for text in texts:
        assert text in caught.value.message
    for credential in credentials.values.values():
        password = credential.password_text()
        assert password is None or password not in caught.value.message


def changed(credentials: Credentials, name: str, password: str) -> Credentials:
    """The same credentials with another password behind one connection."""
    key = f"connection:{name}"
    old = credentials.values[key]
    return Credentials(
        values={**credentials.values, key: Credential(username=old.username, password=SecretStr(password))}
    )


def retargeted(objects: Objects, **spec: object) -> Objects:
    """The same objects with other fields in the AppBinding's spec."""
    target = objects.target.model_copy(update={"spec": objects.target.spec.model_copy(update=spec)})
    return objects.model_copy(update={"target": target})


def test_a_wrong_password_of_mongodb(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    refused(objects, changed(credentials, BACKUP_CONNECTION, "not the password"), ConfigurationError, "password")
    nothing_is_held(shop, objects, credentials)


def test_a_shard_that_is_not_declared(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    shards = {name: shard for name, shard in objects.target.spec.shards.items() if name != "shard1"}
    refused(retargeted(objects, shards=shards), credentials, ConfigurationError, "shard1")
    nothing_is_held(shop, objects, credentials)


def test_an_addon_for_other_versions(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects = objects_for(shop)
    addon = objects.addon.model_copy(update={"spec": objects.addon.spec.model_copy(update={"versions": ">=8.0"})})
    wrong = objects.model_copy(update={"addon": addon})
    refused(wrong, credentials_for(shop), ConfigurationError, "MongoDB >=8.0", "widen its `versions`")


def test_members_that_do_not_answer(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    assert objects.target.spec.config_server is not None
    lease = lease_port()  # held by us, and nobody listens
    try:
        gone = objects.target.spec.config_server.model_copy(update={"hosts": (lease.address,)})
        refused(retargeted(objects, config_server=gone), credentials, TransientError, lease.address)
    finally:
        lease.release()
    nothing_is_held(shop, objects, credentials)


def test_a_wrong_password_of_the_repository(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    InlineBackup(objects=objects, credentials=credentials).run()
    before = snapshots(objects, credentials)
    wrong = changed(credentials, sandbox_objects.ENCRYPTION_CONNECTION, "not the password")
    refused(objects, wrong, ConfigurationError, "password")
    assert snapshots(objects, credentials) == before
    nothing_is_held(shop, objects, credentials)


def test_a_bucket_that_is_not_there(
    shop: ShardedCluster, s3_store: S3Store, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    spec = objects.storage.spec.model_copy(update={"bucket": "nobody-made-this"})
    elsewhere = objects.model_copy(update={"storage": objects.storage.model_copy(update={"spec": spec})})
    refused(elsewhere, credentials, ConfigurationError, "nobody-made-this")
    assert "nobody-made-this" not in [each["Name"] for each in s3_store.client().list_buckets()["Buckets"]]
    nothing_is_held(shop, objects, credentials)


def test_somebody_elses_lock_is_left_alone(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    host = shop.secondaries("shard0")[0]
    admin = shop.admin_client("shard0", host).admin
    admin.command("fsync", lock=True)
    try:
        refused(objects, credentials, ConflictError, host)
        assert admin.command("currentOp").get("fsyncLock") is True
    finally:
        admin.command("fsyncUnlock")
    nothing_is_held(shop, objects, credentials)


def test_a_target_at_which_another_run_is_at_work(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    """Of whatever configuration, and by whatever name of the deployment."""
    objects, credentials = objects_for(shop), credentials_for(shop)
    first = InlineBackup(objects=objects, credentials=credentials)
    first.step("prepare", PrepareResult)
    try:
        metadata = objects.target.metadata.model_copy(update={"name": "by-another-name"})
        target = objects.target.model_copy(update={"metadata": metadata})
        other = objects.model_copy(update={"target": target})
        refused(other, credentials, TargetBusyError, f"DAG backup.shop.manual, run {first.run_id}, since")
    finally:
        first.release("finish")
    nothing_is_held(shop, objects, credentials)


def test_a_store_whose_disk_is_full(
    shop: ShardedCluster, objects_for: ObjectsFor, credentials_for: CredentialsFor
) -> None:
    objects, credentials = objects_for(shop), credentials_for(shop)
    with S3Store() as store:
        store.set_full(True)
        spec = objects.storage.spec.model_copy(update={"endpoint": store.endpoint})
        full = objects.model_copy(update={"storage": objects.storage.model_copy(update={"spec": spec})})
        with pytest.raises((PreconditionError, TransientError)) as caught:
            InlineBackup(objects=full, credentials=credentials).run()
        assert store.endpoint in caught.value.message
    nothing_is_held(shop, objects, credentials)
