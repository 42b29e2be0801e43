"""Tasks and their order, for each topology and consistency."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dags.support import Objects, app_binding, shop

from sandbox.objects import configuration, local_storage

SHARDED = {
    "prepare": {"disable_balancer"},
    "disable_balancer": {"identify_secondaries", "lock_config_server", "enable_balancer"},
    "identify_secondaries": {"lock_config_server", "dump"},
    "lock_config_server": {"lock_secondaries", "unlock_config_server"},
    "lock_secondaries": {"dump", "unlock_secondaries"},
    "dump": {"unlock_secondaries", "commit_snapshot", "finish"},
    "unlock_secondaries": {"unlock_config_server", "finish"},
    "unlock_config_server": {"enable_balancer", "finish"},
    "enable_balancer": {"commit_snapshot", "finish"},
    "commit_snapshot": {"apply_retention", "finish"},
    "apply_retention": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}
SHARDED_WINDOWS = {
    "prepare": {"disable_balancer"},
    "disable_balancer": {"identify_secondaries", "widen_history_windows", "enable_balancer"},
    "identify_secondaries": {"widen_history_windows", "dump"},
    "widen_history_windows": {"dump", "restore_history_windows"},
    "dump": {"restore_history_windows", "commit_snapshot", "finish"},
    "restore_history_windows": {"enable_balancer", "finish"},
    "enable_balancer": {"commit_snapshot", "finish"},
    "commit_snapshot": {"apply_retention", "finish"},
    "apply_retention": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}
REPLICA_SET = {
    "prepare": {"identify_secondaries"},
    "identify_secondaries": {"lock_secondaries", "dump"},
    "lock_secondaries": {"dump", "unlock_secondaries"},
    "dump": {"unlock_secondaries", "commit_snapshot", "finish"},
    "unlock_secondaries": {"commit_snapshot", "finish"},
    "commit_snapshot": {"apply_retention", "finish"},
    "apply_retention": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}
STANDALONE = {
    "prepare": {"identify_secondaries"},
    "identify_secondaries": {"dump"},
    "dump": {"commit_snapshot", "finish"},
    "commit_snapshot": {"apply_retention", "finish"},
    "apply_retention": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}
RESTORE_SHARDED = {
    "plan_restore": {"disable_balancer", "restore"},
    "disable_balancer": {
        *("drop_existing", "restore", "restore_metadata", "build_indexes", "verify_restore"),
        "enable_balancer",
    },
    "drop_existing": {"restore"},
    "restore": {"restore_metadata"},
    "restore_metadata": {"build_indexes"},
    "build_indexes": {"verify_restore"},
    "verify_restore": {"enable_balancer", "push_metrics", "finish"},
    "enable_balancer": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}
RESTORE_OTHERS = {
    "plan_restore": {"drop_existing", "restore"},
    "drop_existing": {"restore"},
    "restore": {"build_indexes"},
    "build_indexes": {"verify_restore"},
    "verify_restore": {"push_metrics", "finish"},
    "push_metrics": {"finish"},
    "finish": set(),
}

Load = Callable[..., Any]


def order(dag: Any) -> dict[str, set[str]]:
    return {task.task_id: set(task.downstream_task_ids) for task in dag.tasks}


@pytest.mark.parametrize(
    ("target", "session", "expected"),
    [
        ("sharded", {}, SHARDED),
        ("sharded", {"consistency": "snapshot"}, SHARDED_WINDOWS),
        ("replica-set", {}, REPLICA_SET),
        ("standalone", {}, STANDALONE),
        ("standalone", {"consistency": "snapshot"}, STANDALONE),
    ],
)
def test_backup(load: Load, target: str, session: Objects, expected: dict[str, set[str]]) -> None:
    assert order(load(shop(target, **session)).dags["backup.shop.nightly"]) == expected


def test_backup_of_a_replica_set_without_locks(load: Load) -> None:
    found = order(load(shop("replica-set", consistency="snapshot")).dags["backup.shop.nightly"])
    names = {"lock_secondaries": "widen_history_windows", "unlock_secondaries": "restore_history_windows"}
    renamed = {names.get(k, k): {names.get(v, v) for v in below} for k, below in REPLICA_SET.items()}
    assert found == renamed


@pytest.mark.parametrize(
    ("target", "expected"),
    [("sharded", RESTORE_SHARDED), ("replica-set", RESTORE_OTHERS), ("standalone", RESTORE_OTHERS)],
)
def test_restore(load: Load, target: str, expected: dict[str, set[str]]) -> None:
    assert order(load(shop(target)).dags["restore.shop"]) == expected


def test_restore_with_approval_before_anything_is_touched(load: Load) -> None:
    document = shop()
    document["spec"]["restore"] = {"approval": True}
    found = order(load(document).dags["restore.shop"])
    expected = {**RESTORE_SHARDED, "plan_restore": {"approve", "restore"}, "approve": {"disable_balancer"}}
    assert found == expected


PING = {"name": "ping", "http": {"url": "https://chat.example/hook"}, "timeout": "1m", "retries": 1}
HOOKS = {"before": [PING], "after": [{**PING, "when": "failure"}]}


def test_hooks_before_anything_is_touched_and_after_all_else(load: Load) -> None:
    document = shop("sharded", hooks=HOOKS)
    document["spec"]["restore"] = {"approval": True, "hooks": HOOKS}
    dags = load(document).dags
    expected = {
        **SHARDED,
        "prepare": {"hooks_before"},
        "hooks_before": {"disable_balancer"},
        "push_metrics": {"hooks_after", "finish"},
        "hooks_after": {"finish"},
    }
    for name, below in expected.items():
        if "finish" in below and name != "hooks_after":
            expected[name] = below | {"hooks_after"}
    assert order(dags["backup.shop.nightly"]) == expected
    found = order(dags["restore.shop"])
    assert found["approve"] == {"hooks_before"}
    assert found["hooks_before"] == {"disable_balancer"}
    assert found["push_metrics"] == found["enable_balancer"] - {"push_metrics"} | {"hooks_after", "finish"}
    for dag in (dags["backup.shop.nightly"], dags["restore.shop"]):
        after = dag.get_task("hooks_after")
        assert after.is_teardown
        assert not after.on_failure_fail_dagrun
        assert not [task for task in after.upstream_list if task.is_setup]
        assert after.execution_timeout.total_seconds() == 2 * 60 + 10 + 300


def test_only_the_hooks_that_there_are(load: Load) -> None:
    found = order(load(shop("standalone", hooks={"after": [PING]})).dags["backup.shop.nightly"])
    before = {name: below - {"hooks_after"} for name, below in found.items() if name != "hooks_after"}
    assert before == STANDALONE
    assert found["hooks_after"] == {"finish"}


TOLD = [
    {"on": ["failure", "success", "late"], "webhook": {"connection": "chat"}},
    {"on": ["late"], "mail": {"to": ["dba@shop.example"]}},
]


def test_copies_come_before_retention_and_do_not_keep_it_back(load: Load) -> None:
    copies = [
        {"name": "offsite", "storage": {"name": "second"}},
        {"name": "other", "storage": {"name": "store"}, "repository": "elsewhere"},
    ]
    loaded = load(local_storage(Path("/offsite"), name="second"), shop("sharded", copies=copies))
    dag = loaded.dags["backup.shop.nightly"]
    assert order(dag) == {
        **SHARDED,
        "commit_snapshot": {"copy", "apply_retention", "finish"},
        "copy": {"apply_retention", "finish"},
    }
    copy = dag.get_task("copy")
    assert copy.is_mapped
    assert copy.expand_input.value == {"copy_name": ["offsite", "other"]}
    assert copy.trigger_rule == "all_success"
    assert dag.get_task("apply_retention").trigger_rule == "all_done_min_one_success"


def test_a_copy_is_looked_after_by_a_dag_of_its_own_and_can_be_read(load: Load) -> None:
    copies = [
        {"name": "offsite", "storage": {"name": "second"}, "maintenance": {"schedule": "0 3 1 * *", "prune": False}},
        {"name": "other", "storage": {"name": "store"}, "repository": "elsewhere"},
    ]
    document = shop(copies=copies)
    document["spec"]["verification"] = {}
    dags = load(local_storage(Path("/offsite"), name="second"), document).dags
    schedules = {name: dag.schedule.expression for name, dag in dags.items() if name.startswith("maintain.")}
    assert schedules == {
        "maintain.shop": "0 12 * * 0",
        "maintain.shop.offsite": "0 3 1 * *",
        "maintain.shop.other": "0 12 * * 0",
    }
    assert order(dags["maintain.shop.offsite"]) == order(dags["maintain.shop"])
    task = dags["maintain.shop.offsite"].get_task("prune")
    assert task.subject.objects.storage.name == "second"
    assert not task.subject.objects.configuration.spec.maintenance.prune
    for name in ("restore.shop", "verify.shop"):
        field = dags[name].params.get_param("copy")
        assert field.value == "-"
        assert field.schema["enum"] == ["-", "offsite", "other"]


def test_who_is_told(load: Load) -> None:
    """By `finish`, which judges the run, and by Airflow itself when no good run is there in time."""
    from airflow.serialization.serialized_objects import DagSerialization

    document = shop("sharded", deadline="06:00")
    document["spec"]["notifications"] = TOLD
    dags = load(document).dags
    for dag in (dags["backup.shop.nightly"], dags["restore.shop"]):
        for task in dag.tasks:
            expected = ["failure"] if task.task_id == "finish" else []
            assert [each.event for each in task.on_failure_callback or []] == expected
        assert [each.event for each in dag.get_task("finish").on_success_callback] == ["success"]
    assert dags["restore.shop"].deadline is None
    alerts = dags["backup.shop.nightly"].deadline
    assert [each.interval.total_seconds() for each in alerts] == [4 * 3600] * 2
    assert [each.callback.path.rpartition(".")[2] for each in alerts] == ["WebhookNotifier", "SmtpNotifier"]
    assert len(DagSerialization.to_dict(dags["backup.shop.nightly"])["dag"]["deadline"]) == 2


def test_nobody_is_told(load: Load) -> None:
    dag = load(shop(deadline="06:00")).dags["backup.shop.nightly"]
    assert dag.deadline is None
    assert not dag.get_task("finish").on_failure_callback


def test_mapped_tasks(load: Load) -> None:
    document = shop(backup_timeout="3h")
    document["spec"]["execution"] = {"max_parallel_dumps": 3, "pool": "disks"}
    dags = load(document).dags
    for task, limit in (
        (dags["backup.shop.nightly"].get_task("dump"), 3 * 3600),
        (dags["restore.shop"].get_task("restore"), 24 * 3600),
    ):
        assert task.is_mapped
        assert task.max_active_tis_per_dagrun == 3
        assert task.pool == "disks"
        assert task.execution_timeout.total_seconds() == limit


def test_pools_of_target_and_storage(load: Load) -> None:
    binding, storage = app_binding("sharded", "sharded"), local_storage(Path("/backups"))
    binding["spec"]["pool"], storage["spec"]["pool"] = "members", "uplink"
    dags = load(binding, storage, shop()).dags
    pools = {task.task_id: task.pool for task in dags["backup.shop.nightly"].tasks}
    assert {name for name, pool in pools.items() if pool == "members"} == {"dump"}
    assert {name for name, pool in pools.items() if pool == "uplink"} == {"commit_snapshot", "apply_retention"}
    assert dags["restore.shop"].get_task("restore").pool == "members"


def test_same_step_behind_both_names(load: Load) -> None:
    dag = load(shop(consistency="snapshot")).dags["backup.shop.nightly"]
    assert dag.get_task("widen_history_windows").step == "lock_secondaries"
    assert dag.get_task("restore_history_windows").step == "unlock_secondaries"
    assert dag.get_task("dump").partial_kwargs["lock_task"] == "widen_history_windows"


def test_form(load: Load) -> None:
    two = configuration(name="archive", target="standalone")
    other = {**two, "metadata": {"name": "copy"}, "spec": {**two["spec"], "target": {"name": "other"}}}
    binding = {
        "apiVersion": "mongo-backup/v1",
        "kind": "AppBinding",
        "metadata": {"name": "other"},
        "spec": {"topology": "standalone", "hosts": ["other:27017"]},
    }
    dags = load(two, other, binding).dags
    params = dags["restore.archive"].params
    assert dict(params) == {
        "snapshot": "latest",
        "target": "standalone",
        "existing": "refuse",
        "users": "skip",
        "include": [],
        "exclude": [],
        "rename": {},
    }
    assert params.get_param("target").schema["enum"] == ["other", "standalone"]
    assert dict(dags["restore.copy"].params)["target"] == "other"


@pytest.mark.parametrize(
    ("target", "field", "good", "bad"),
    [
        (
            "standalone",
            "rename",
            [None, {}, {"shop.orders": "shop.orders_old"}, {"shop.*": "shop_old.*"}, {"shop.a.b": "x.a.b"}],
            [{"shop": "x.y"}, {"shop.orders": "orders"}, {"shop.orders": 5}, ["shop.orders"], {"shop.$cmd": "a.b"}],
        ),
        ("sharded", "shard_map", [None, {}, {"shard0": "rs-a"}], [{"shard0": ""}, {"shard0": 1}, "shard0"]),
    ],
)
def test_the_form_checks_new_names(load: Load, target: str, field: str, good: list[Any], bad: list[Any]) -> None:
    from airflow.sdk.exceptions import AirflowException

    params = load(shop(target)).dags["restore.shop"].params
    assert len({"rename", "shard_map"} & set(params)) == 1
    for value in good:
        assert params.get_param(field).resolve(value) == value
    for value in bad:
        with pytest.raises((AirflowException, ValueError)):
            params.get_param(field).resolve(value)


def test_maintenance(load: Load) -> None:
    document = shop()
    document["spec"]["maintenance"] = {"schedule": "0 3 * * 6", "timezone": "Europe/Berlin", "paused": True}
    dag = load(document).dags["maintain.shop"]
    assert order(dag) == {
        "check": {"prune"},  # nothing is pruned in a damaged repository
        "prune": {"push_metrics", "finish"},
        "push_metrics": {"finish"},
        "finish": set(),
    }
    assert dag.schedule.expression == "0 3 * * 6"
    assert dag.is_paused_upon_creation
    assert dag.get_task("prune").trigger_rule == "all_success"
    assert load(shop()).dags["maintain.shop"].schedule.expression == "0 12 * * 0"
