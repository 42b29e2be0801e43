"""DAGs made of objects in a temporary folder, loaded and serialised as Airflow's DAG processor does."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if "AIRFLOW_HOME" not in os.environ:  # before anything imports airflow: it makes its files where this says
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mongo-backup-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)

from sandbox.objects import API, configuration, local_storage, retention_policy, write_objects

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

REPOSITORY = Path(__file__).resolve().parents[2]
DAG_FILES = REPOSITORY / "dags"

Objects = dict[str, Any]


def app_binding(name: str, topology: str) -> Objects:
    """An AppBinding of each topology; nobody connects to it."""
    addresses: dict[str, Objects] = {
        "standalone": {"hosts": ["db:27017"]},
        "replica_set": {"replica_set": {"replica_set": "rs", "hosts": ["db:27017"]}},
        "sharded": {
            "config_server": {"replica_set": "cfg", "hosts": ["cfg:27019"]},
            "shards": {"shard0": {"replica_set": "rs0", "hosts": ["rs0:27018"]}},
        },
    }
    spec = {"topology": topology, "credentials": {"connection": "shop-backup"}, **addresses[topology]}
    return {**API, "kind": "AppBinding", "metadata": {"name": name}, "spec": spec}


def basics() -> list[Objects]:
    """A storage, a policy, and an AppBinding for each topology, of its name."""
    bindings = [app_binding(kind.replace("_", "-"), kind) for kind in ("standalone", "replica_set", "sharded")]
    return [local_storage(Path("/backups")), retention_policy(last=3), *bindings]


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


def shop(target: str = "sharded", **session: Any) -> Objects:
    """A configuration with one session `nightly`."""
    return configuration(name="shop", target=target, session={"name": "nightly", "schedule": "0 2 * * *", **session})
