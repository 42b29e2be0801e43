"""What is wrong takes away only its own DAGs, and shows; and 200 configurations load quickly."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.dags.support import DAG_FILES, basics, shop

from mongo_backup_airflow.builders import family
from sandbox.objects import configuration, write_objects

Load = Callable[..., Any]
SHOWS = str(DAG_FILES / "mongo_objects.py")


def error_of(bag: Any) -> str:
    """The one import error there is, in the file that is there for it."""
    assert [Path(file).name for file in bag.import_errors] == ["mongo_objects.py"]
    return str(next(iter(bag.import_errors.values())))


def test_no_objects_no_dags_no_error(load: Load) -> None:
    bag = load()
    assert bag.import_errors == {}
    assert bag.dags == {}


def test_a_file_that_is_no_yaml(load: Load, objects_folder: Path) -> None:
    (objects_folder / "broken.yaml").write_text("kind: BackupConfiguration\n  metadata: {")
    bag = load(shop())
    assert set(bag.dags) == {"backup.shop.nightly", "maintain.shop", "restore.shop", "release_locks"}
    assert "broken.yaml:2" in error_of(bag)


def test_a_wrong_field(load: Load) -> None:
    bad = configuration(name="bad", target="sharded", session={"consistency": "lockd"})
    bag = load(shop(), bad)
    assert set(bag.dags) == {"backup.shop.nightly", "maintain.shop", "restore.shop", "release_locks"}
    error = error_of(bag)
    assert "backupconfiguration-bad.yaml" in error
    assert "consistency" in error
    assert "'lockd'" in error


def test_a_defect_in_building_one_dag(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    from mongo_backup_airflow.builders import backup

    def build(subject: Any) -> Any:
        if subject.objects.configuration.name == "cursed":
            raise ZeroDivisionError("a defect")
        return original(subject)

    original = backup.build_backup_dag
    monkeypatch.setattr(backup, "build_backup_dag", build)
    bag = load(shop(), configuration(name="cursed", target="sharded"))
    others = {f"{kind}.{name}" for kind in ("maintain", "restore") for name in ("shop", "cursed")}
    assert set(bag.dags) == {"backup.shop.nightly", *others, "release_locks"}
    assert "backup.cursed.manual: ZeroDivisionError: a defect" in error_of(bag)


def test_a_missing_folder(load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONGO_BACKUP_CONFIG", str(tmp_path / "nowhere"))
    bag = load()
    assert bag.dags == {}
    assert all("there is no folder" in error for error in bag.import_errors.values())


def test_the_folder_beside_the_dags_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MONGO_BACKUP_CONFIG", raising=False)
    assert family.objects_folder(Path("/opt/airflow/dags")) == Path("/opt/airflow/include/config")


@pytest.fixture
def many(objects_folder: Path) -> int:
    """200 configurations of a sharded cluster."""
    session = {"name": "nightly", "schedule": "0 2 * * *"}
    shops = [configuration(name=f"shop{n}", target="sharded", session=session) for n in range(200)]
    write_objects(objects_folder, *basics(), *shops)
    return len(shops)


def test_200_configurations(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT", "300")  # 30 by default: a busy machine is slower

    began = time.process_time()
    bag = DagBag(dag_folder=str(DAG_FILES))
    seconds = time.process_time() - began
    print(f"{many} configurations, {len(bag.dags)} DAGs: {seconds:.1f} s of processor time to load the folder")
    assert bag.import_errors == {}
    assert len(bag.dags) == 3 * many + 1


def test_a_task_builds_only_its_own_dag(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from mongo_backup_airflow.builders import backup

    built: list[str] = []
    original = backup.build_backup_dag

    def build(subject: Any) -> Any:
        built.append(str(subject))
        return original(subject)

    monkeypatch.setattr(backup, "build_backup_dag", build)
    monkeypatch.setitem(os.environ, "_AIRFLOW_PARSING_CONTEXT_DAG_ID", "backup.shop7.nightly")
    family.backup_dags(DAG_FILES)  # imports are not what is measured
    built.clear()
    began = time.process_time()
    dags = family.backup_dags(DAG_FILES)
    seconds = time.process_time() - began
    print(f"a task's own parse among {many} configurations: {seconds:.3f} s of processor time")
    assert seconds <= 0.2  # it grows with the square of their number as soon as each looks at all the others
    assert list(dags) == ["backup.shop7.nightly"]
    assert built == ["shop7/nightly"]
    assert family.restore_dags(DAG_FILES) == {}
    family.check_objects(DAG_FILES)
    assert built == ["shop7/nightly"]
