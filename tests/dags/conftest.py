"""DAGs made of objects in a temporary folder, loaded and serialised as Airflow's DAG processor does."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if "AIRFLOW_HOME" not in os.environ:  # before anything imports airflow: it makes its files where this says
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mongo-backup-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from tests.dags.support import DAG_FILES, Objects, basics

from sandbox.objects import write_objects

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag


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
