"""A replica set, backed up and restored by all steps: drop, merge, another name, another deployment, users, expiry."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pymongo.errors import OperationFailure

from mongo_backup.agent.contract import MetricsResult
from mongo_backup.agent.restore_contract import PlanResult
from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import PreconditionError
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import MetricsSettings
from sandbox.deployment import RESTORE_CONNECTION
from sandbox.pushgateway import Pushgateway
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.seed import APPLICATION_USER
from sandbox.waiting import wait_until

Bench = Any
"""`Workbench` of conftest.py."""
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def ttl_monitor(bench: Bench, on: bool) -> None:
    bench.deployment.client().admin.command({"setParameter": 1, "ttlMonitorEnabled": on})


def test_what_expired_meanwhile_is_compared_first_and_expires_then(shop_set: Bench) -> None:
    client = shop_set.deployment.client()
    ttl_monitor(shop_set, on=False)
    client.shop.due.create_index("at", expireAfterSeconds=0)
    client.shop.due.insert_many([{"_id": n, "at": PAST} for n in range(50)])
    client.shop.command("create", "oldest", timeseries={"timeField": "at"}, expireAfterSeconds=3600)
    client.shop.oldest.insert_one({"at": PAST, "v": 1})
    shop_set.backup()
    ttl_monitor(shop_set, on=True)

    verified = shop_set.restore(existing="drop")

    assert verified.digests == verified.namespaces
    wait_until(lambda: client.shop.due.count_documents({}) == 0, what="the TTL index works", timeout=30)
    wait_until(lambda: client.shop.oldest.count_documents({}) == 0, what="the time series expires", timeout=30)


def test_users_come_back_with_their_passwords_and_others_go(shop_set: Bench) -> None:
    deployment = shop_set.deployment
    client = deployment.client()
    client.shop.command("dropUser", APPLICATION_USER.username)
    client.shop.command("createUser", "intruder", pwd="x", roles=["readWrite"])

    assert shop_set.restore(existing="drop", users="merge").namespaces
    login = deployment.client(user=APPLICATION_USER, authSource="shop")
    assert login.shop.orders.find_one()
    assert client.admin["system.users"].count_documents({"user": "intruder"}) == 1

    client.shop.command("updateUser", APPLICATION_USER.username, pwd="changed")
    shop_set.restore(existing="drop", users="replace")
    deployment.component.forget_clients()
    assert deployment.client(user=APPLICATION_USER, authSource="shop").shop.orders.find_one()
    assert deployment.client().admin["system.users"].count_documents({"user": "intruder"}) == 0
    for name in ("admin", "backup", "restore"):
        deployment.client(user=name).admin.command("ping")


def test_a_database_under_another_name_and_users_as_they_are(shop_set: Bench) -> None:
    shop_set.deployment.client().shop.command("updateUser", APPLICATION_USER.username, pwd="kept")
    verified = shop_set.restore(
        include=["crm.*", "telemetry.*"], rename={"crm.*": "crm_then.*", "telemetry.*": "old.*"}
    )
    client = shop_set.deployment.client()
    assert verified.digests == verified.namespaces == 3
    assert client.crm_then.contacts.count_documents({}) == client.crm.contacts.count_documents({}) > 0
    assert client.old.readings.count_documents({}) == 100
    client.drop_database("crm_then")
    client.drop_database("old")
    with pytest.raises(OperationFailure, match="Authentication failed"):
        shop_set.deployment.client(user=APPLICATION_USER, authSource="shop").shop.orders.find_one()


def test_merge_brings_back_what_is_missing(shop_set: Bench) -> None:
    shop = shop_set.deployment.client().shop
    shop.orders.delete_many({"number": {"$lt": 100}})
    shop.events.insert_one({"_id": "newer", "device": 1})
    # by a user who has the built-in roles alone that docs/reference/privileges.md names
    roles = ["restore", "readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"]
    shop_set.deployment.client().admin.command("createUser", "limited", pwd="x", roles=roles)
    limited = Credential(username="limited", password=SecretStr("x"))
    values = {**shop_set.credentials.values, f"connection:{RESTORE_CONNECTION}": limited}
    by_limited = dataclasses.replace(shop_set, credentials=Credentials(values=values))
    by_limited.restore(existing="merge", exclude=["shop.audit"])
    with pytest.raises(PreconditionError, match=r"lacks .* on admin\.system\.roles"):
        by_limited.prepared(existing="merge", users="replace").step("plan_restore", PlanResult)
    assert shop.orders.count_documents({}) == 400
    assert shop.events.find_one({"_id": "newer"})


def test_into_a_standalone(shop_set: Bench) -> None:
    with Standalone() as other:
        restore = shop_set.prepared(target="other")
        restore.target = AppBinding.model_validate(other.app_binding("other"))
        verified = restore.run()
        assert verified.digests == verified.namespaces > 0
        assert other.client().shop.orders.count_documents({}) == 400


def test_metrics_tell_of_success_and_failure(shop_set: Bench) -> None:
    with Pushgateway() as gateway:
        told = MetricsSettings(pushgateway=gateway.url)
        configuration = shop_set.objects.configuration
        spec = configuration.spec.model_copy(update={"metrics": told})
        objects = shop_set.objects.model_copy(update={"configuration": configuration.model_copy(update={"spec": spec})})
        bench = dataclasses.replace(shop_set, objects=objects)
        for state, value in (("success", "1"), ("failed", "0")):
            pushed = bench.prepared().step("push_metrics", MetricsResult, states={"verify_restore": state})
            assert pushed.pushed
            lines = gateway.metrics().splitlines()
            [line] = [each for each in lines if each.startswith("mongo_backup_restore_last_attempt_success{")]
            assert 'configuration="shop"' in line
            assert line.endswith(f" {value}")
    assert not bench.prepared().step("push_metrics", MetricsResult).pushed
    assert not shop_set.prepared().step("push_metrics", MetricsResult).pushed


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"snapshot": "20200101T000000Z-00000000"}, "there is no set"),
        ({"include": ["nowhere.*"]}, "nothing of set"),
        ({"shard_map": {"a": "b"}}, "no shards"),
    ],
)
def test_the_plan_refuses(shop_set: Bench, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(PreconditionError, match=words):
        shop_set.prepared(**parameters).step("plan_restore", PlanResult)


def test_the_plan_refuses_a_locked_target_and_a_user_who_may_not(shop_set: Bench, tmp_path: Path) -> None:
    deployment: ReplicaSet = shop_set.deployment
    admin = deployment.client(host=deployment.primary("rs0")).admin
    admin.command({"fsync": 1, "lock": True})
    try:
        with pytest.raises(PreconditionError, match="fsyncLocked"):
            shop_set.prepared(existing="drop").step("plan_restore", PlanResult)
    finally:
        admin.command({"fsyncUnlock": 1})
    restore = shop_set.prepared(existing="drop")
    spec = deployment.app_binding()
    spec["spec"]["restore_credentials"] = spec["spec"]["credentials"]
    restore.target = AppBinding.model_validate(spec)
    with pytest.raises(PreconditionError, match=r"lacks privileges on .*insert.* on every collection"):
        restore.step("plan_restore", PlanResult)
