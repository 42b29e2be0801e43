"""The watchdog: one DAG for all objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.dags.support import app_binding, shop

from sandbox.objects import configuration

Load = Callable[..., Any]


def of_names(names: list[str], **spec: Any) -> list[dict[str, Any]]:
    return [configuration(name=name, target=name, **spec) for name in names]


@pytest.fixture
def dag(load: Load) -> Any:
    bag = load(*of_names(["standalone", "sharded"]), shop("sharded"), app_binding("copy", "standalone"))
    assert bag.import_errors == {}
    return bag.dags["release_locks"]


def test_it_looks_at_every_deployment_once(dag: Any) -> None:
    """Those that are only restored into too; not the replica set, to which no configuration leads."""
    (task,) = dag.tasks
    assert task.task_id == "release_expired"
    assert task.expand_input.value == {"target": ["copy", "sharded", "standalone"]}
    assert task.partial_kwargs["watched"].backed_up == {"sharded", "standalone"}
    for name in ("copy", "sharded", "standalone"):
        one = task.unmap({"target": name})
        assert one.subject.objects.target.name == name
        assert (one.target, one.step, one.family) == (name, "expired", "release")


def test_it_is_always_on_its_way_and_quick_to_give_up(dag: Any) -> None:
    assert dag.schedule.expression == "*/5 * * * *"
    assert dag.schedule.run_immediately == timedelta(0)
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.is_paused_upon_creation is False
    assert dag.dagrun_timeout is None
    task = dag.get_task("release_expired")
    tries, limit = task.retries + 1, task.execution_timeout.total_seconds()
    assert (tries, limit, task.retry_delay.total_seconds()) == (2, 120, 30)
    assert tries * limit + 30 < 300, "one that hangs does not keep the others waiting"
    assert dag.doc_md.startswith("# ")
    assert task.doc_md
    assert {"mongo-backup", "watchdog"} == set(dag.tags)


def test_a_pod_gets_its_time_to_start(load: Load) -> None:
    execution = {"runner": "kubernetes", "namespace": "backups", "start_timeout": "3m"}
    dags = load(shop(), *of_names(["sharded"], execution=execution)).dags
    assert dags["release_locks"].get_task("release_expired").execution_timeout.total_seconds() == 300


def test_another_schedule(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGO_BACKUP_RELEASE_SCHEDULE", "*/2 * * * *")
    assert load(shop()).dags["release_locks"].schedule.expression == "*/2 * * * *"
    monkeypatch.setenv("MONGO_BACKUP_RELEASE_SCHEDULE", "often")
    bag = load(shop())
    assert "release_locks" not in bag.dags
    assert "backup.shop.nightly" in bag.dags
    assert "MONGO_BACKUP_RELEASE_SCHEDULE" in next(iter(bag.import_errors.values()))


def test_nothing_secret_and_little_is_stored(dag: Any) -> None:
    import json

    from airflow.serialization.serialized_objects import DagSerialization

    text = json.dumps(DagSerialization.to_dict(dag))
    assert "3 targets" in text
    assert "object at 0x" not in text
    assert len(text) < 16 * 1024
