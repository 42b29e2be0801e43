"""DAGs made of objects in a temporary folder, loaded and serialised as Airflow's DAG processor does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import airflow_home
from tests.dags.support import DAG_FILES, Objects, basics

from sandbox.objects import write_objects

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

airflow_home.set_up()


@pytest.fixture
def objects_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of objects."""
    folder = tmp_path / "config"
    folder.mkdir()
    monkeypatch.setenv("MONGO_BACKUP_CONFIG", str(folder))
    return folder


@pytest.fixture
def load(objects_folder: Path) -> Callable[..., DagBag]:
    """Write objects, then load the product's DAG files."""
    from airflow.dag_processing.dagbag import DagBag

    def load_dags(*objects: Objects) -> DagBag:
        write_objects(objects_folder, *basics(), *objects)
        return DagBag(dag_folder=str(DAG_FILES))

    return load_dags
