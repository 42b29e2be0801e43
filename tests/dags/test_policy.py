"""Rules that every DAG of the product keeps, whatever its objects."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from tests.dags.support import Objects, shop

from mongo_backup_airflow.builders.wiring import leaf_tasks
from sandbox.objects import configuration

Load = Callable[..., Any]


LONG_LABEL = f"example.com/{'k' * 63}"
"""With its value it is longer than Airflow's tags may be."""
PING = {"name": "ping", "http": {"url": "https://chat.example/hook"}}


def every_kind() -> list[Objects]:
    """Configurations whose DAGs have every shape there is."""
    approved = shop(hooks={"before": [PING], "after": [PING]}, deadline="06:00")
    told = {"on": ["failure", "success", "late"]}
    mail = {"mail": {"to": ["dba@shop.example"]}}
    approved["spec"]["notifications"] = [{**told, "webhook": {"connection": "chat"}}, {**told, **mail}]
    approved["metadata"] = {"name": "approved", "labels": {"team": "shop", "gold": "", LONG_LABEL: "v" * 63}}
    approved["spec"]["restore"] = {"approval": True, "hooks": {"before": [PING], "after": [PING]}}
    approved["spec"]["verification"] = {"schedule": "0 6 * * 0", "timezone": "Europe/Berlin", "after_backups": 7}
    return [
        approved,
        configuration(name="windows", target="sharded", session={"name": "s", "consistency": "snapshot"}),
        configuration(
            name="set", target="replica-set", session={"name": "s", "paused": True}, verification={"after_backups": 1}
        ),
        configuration(name="windows-set", target="replica-set", session={"name": "s", "consistency": "snapshot"}),
        configuration(
            name="single",
            target="standalone",
            session={"name": "s", "schedule": "@daily"},
            verification={"schedule": "@weekly", "paused": True},
        ),
    ]


@pytest.fixture
def dags(load: Load) -> dict[str, Any]:
    bag = load(*every_kind())
    assert bag.import_errors == {}
    assert len(bag.dags) == 19
    return {dag.dag_id: dag for dag in runs_of(bag)}


def runs_of(bag: Any) -> list[Any]:
    """The DAGs whose runs work on a target; the watchdog is another kind."""
    return [dag for dag in bag.dags.values() if dag.dag_id != "release_locks"]


def test_finish_alone_decides_the_colour_of_a_run(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        finish = dag.get_task("finish")
        assert leaf_tasks(dag) == {"finish"}, dag.dag_id
        assert finish.is_teardown
        assert finish.on_failure_fail_dagrun
        assert not [task for task in finish.upstream_list if task.is_setup], dag.dag_id
        everything_else = {task.task_id for task in dag.tasks} - {"finish"}
        assert {task.task_id for task in finish.get_flat_relatives(upstream=True)} == everything_else


def test_airflow_agrees_on_the_leaf(dags: dict[str, Any]) -> None:
    """Airflow's own computation, on the serialised DAG, with a run that is all there."""
    from airflow.models.dagrun import DagRun
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in dags.values():
        serialised = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        instances = [Instance(task.task_id) for task in serialised.tasks]
        found = DagRun._tis_for_dagrun_state(None, dag=serialised, tis=instances)  # type: ignore[arg-type]
        assert {one.task_id for one in found} == {"finish"}, dag.dag_id


@dataclass(frozen=True)
class Instance:
    """All of a task instance that the computation looks at."""

    task_id: str
    state: str = "failed"


def test_every_act_has_its_undo(dags: dict[str, Any]) -> None:
    undo = {
        "disable_balancer": "enable_balancer",
        "lock_config_server": "unlock_config_server",
        "lock_secondaries": "unlock_secondaries",
        "widen_history_windows": "restore_history_windows",
    }
    for dag in dags.values():
        setups = {task.task_id for task in dag.tasks if task.is_setup}
        assert setups == {name for name in undo if name in dag.task_ids}, dag.dag_id
        for name in setups:
            teardown = dag.get_task(undo[name])
            assert teardown.is_teardown
            assert name in {task.task_id for task in teardown.upstream_list if task.is_setup}
        always = {"finish", "hooks_after"} & set(dag.task_ids)
        assert {t.task_id for t in dag.tasks if t.is_teardown} == {undo[name] for name in setups} | always


def test_undoing_is_tried_many_times(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        for task in dag.tasks:
            if task.is_teardown and task.task_id != "hooks_after":
                assert task.retries == 20
                assert task.retry_delay.total_seconds() == 30
                assert not task.retry_exponential_backoff


def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(load: Load) -> None:
    dags = load(shop(retries=7, retry_delay="10s", max_retry_delay="3m")).dags
    for dag, wanted in (("backup.shop.nightly", (7, 10, 180)), ("restore.shop", (3, 60, 300))):
        for task in dags[dag].tasks:
            if not task.is_teardown:
                found = (task.retries, task.retry_delay.total_seconds(), task.max_retry_delay.total_seconds())
                assert (*found, task.retry_exponential_backoff) == (*wanted, 2.0), task.task_id


def test_retry_delay_for_demonstrations(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_BACKUP_RETRY_SECONDS", "0.5")
    for dag in runs_of(load(shop())):
        assert {task.retry_delay.total_seconds() for task in dag.tasks} == {0.5}
        assert {task.retry_exponential_backoff for task in dag.tasks} == {0}


def test_runs_of_one_dag_begin_to_fail_where_that_is_asked_for(load: Load) -> None:
    """Airflow itself would let them wait; the target refuses the second."""
    document = shop()
    document["spec"]["concurrency"] = "forbid"
    dags = load(document).dags
    assert {dags[name].max_active_runs for name in ("backup.shop.nightly", "restore.shop")} == {2}


def test_time_limits_on_tasks_never_on_runs(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.dagrun_timeout is None, dag.dag_id
        unlimited = {task.task_id for task in dag.tasks if task.execution_timeout is None}
        assert unlimited <= {"approve"}, dag.dag_id


def test_runs_of_one_dag_never_overlap_and_nothing_is_caught_up(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.max_active_runs == 1
        assert dag.catchup is False
        assert dag.fail_fast is False
        assert dag.start_date is None  # one in the past would start a run the moment the DAG appears


def test_people_find_their_way(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert {"mongo-backup", dag.dag_id.split(".")[0]} <= set(dag.tags)
        assert dag.doc_md.startswith("# ")
        assert dag.description
        for task in dag.tasks:
            assert task.owner == "mongo-backup"
            assert task.doc_md, task.task_id
    assert {"team:shop", "gold", "sharded", f"{LONG_LABEL}:{'v' * 24}"} <= set(dags["backup.approved.nightly"].tags)


def test_schedules(dags: dict[str, Any]) -> None:
    from airflow.sdk import CronTriggerTimetable

    nightly = dags["backup.approved.nightly"].schedule
    assert isinstance(nightly, CronTriggerTimetable)
    assert nightly.expression == "0 2 * * *"
    assert nightly.run_immediately == timedelta(0)
    assert dags["backup.single.s"].schedule.expression == "0 0 * * *"
    assert dags["backup.set.s"].schedule is None
    assert dags["backup.set.s"].is_paused_upon_creation is True
    assert dags["backup.approved.nightly"].is_paused_upon_creation is False


def test_verifications_follow_a_schedule_or_backups_or_both(dags: dict[str, Any]) -> None:
    from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable

    both, after, cron = (dags[f"verify.{name}"] for name in ("approved", "set", "single"))
    assert isinstance(both.schedule, AssetOrTimeSchedule)
    assert both.schedule.timetable.expression == "0 6 * * 0"
    assert str(both.schedule.timetable.timezone) == "Europe/Berlin"
    assert after.schedule == [Asset("unverified.set", group="mongo-backup")]
    assert isinstance(cron.schedule, CronTriggerTimetable)
    assert cron.is_paused_upon_creation
    assert "verify.windows" not in dags  # it does not ask for any


def test_a_commit_tells_of_snapshots_and_only_where_asked_of_unverified_ones(dags: dict[str, Any]) -> None:
    outlets = {
        name: {outlet.name for outlet in dag.get_task("commit_snapshot").outlets}
        for name, dag in dags.items()
        if name.startswith("backup.")
    }
    assert outlets["backup.set.s"] == {"snapshots.set", "unverified.set"}
    assert outlets["backup.single.s"] == {"snapshots.single"}


def test_restores_start_by_hand_alone(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        if dag.dag_id.startswith("restore."):
            assert dag.schedule is None
            assert {kind.value for kind in dag.allowed_run_types} == {"manual"}


def test_approval_is_never_the_default(dags: dict[str, Any]) -> None:
    approve = dags["restore.approved"].get_task("approve")
    assert approve.defaults == ["Reject"]
    assert approve.ignore_downstream_trigger_rules
    below = {task.task_id for task in approve.get_flat_relatives(upstream=False)}
    assert {"disable_balancer", "drop_existing", "restore", "restore_metadata", "build_indexes"} <= below


def test_metrics_are_pushed_of_failed_runs_too(dags: dict[str, Any]) -> None:
    for dag in dags.values():
        assert dag.get_task("push_metrics").trigger_rule == "all_done"


def test_every_family_tells_how_its_runs_ended(dags: dict[str, Any]) -> None:
    telling = {name: dag for name, dag in dags.items() if name.split(".")[1] == "approved"}
    assert {name.split(".")[0] for name in telling} == {"backup", "restore", "verify", "maintain"}
    for name, dag in telling.items():
        finish = dag.get_task("finish")
        assert (len(finish.on_failure_callback), len(finish.on_success_callback)) == (2, 2), name


def test_commit_sees_the_dumps_themselves(dags: dict[str, Any]) -> None:
    """Teardowns succeed after failed dumps too."""
    for dag in dags.values():
        if dag.dag_id.startswith("backup."):
            assert "dump" in dag.get_task("commit_snapshot").upstream_task_ids
            assert not [task for task in dag.get_task("commit_snapshot").upstream_list if task.is_setup]


def test_serialised_dags_are_small_and_the_same_every_time(load: Load) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    def texts() -> dict[str, str]:
        bag = load(*every_kind())
        return {name: json.dumps(DagSerialization.to_dict(dag), sort_keys=True) for name, dag in bag.dags.items()}

    first = texts()
    assert first == texts()  # else every parse would make a new version of the DAG
    assert max(map(len, first.values())) < 64 * 1024
    for text in first.values():
        assert "object at 0x" not in text


SECRET = "planted-s3cret"


def test_no_secret_reaches_a_dag(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections exist while the files are parsed and hold a secret: nothing of it may be in what Airflow stores."""
    from airflow.serialization.serialized_objects import DagSerialization

    for name in ("SHOP-BACKUP", "SANDBOX-ENCRYPTION"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "generic", "password": SECRET}))
    for dag in load(*every_kind()).dags.values():
        assert SECRET not in json.dumps(DagSerialization.to_dict(dag))
        for task in dag.tasks:
            assert SECRET not in repr(vars(task))
            assert set(task.template_fields) <= {"step", "member", "component", "target"} or task.task_id == "approve"
