"""How long Airflow takes to load the DAGs of many configurations, and a task to load its own among them.

Called by `backup_figures.py`. Each is loaded in a process of its own, into which Airflow was imported before, as in
Airflow's own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from measuring import Run, measured, telling

from sandbox import objects
from sandbox.airflow import REPOSITORY
from sandbox.stack import Stack

CONFIGURATIONS = 200
ONE = "backup.shop7.nightly"
FILE = "mongo_backup.py"

FOLDER, FIRST, OWN = "all DAGs", "a task's own DAG, with imports", "a task's own DAG"
GOALS = {FOLDER: 10, FIRST: 0.2, OWN: 0.2}
"""In seconds."""


def load_times(stack: Stack) -> dict[str, Run]:
    """Load the DAG files for many configurations of the stack's cluster and store: what is loaded, and how it went."""
    session = {"name": "nightly", "schedule": "0 2 * * *"}
    with tempfile.TemporaryDirectory(prefix="mongo-backup-dags-") as folder:
        objects.write_objects(
            Path(folder),
            stack.deployment.app_binding(),
            objects.s3_storage(stack.store),
            *(objects.configuration(name=f"shop{number}", session=session) for number in range(CONFIGURATIONS)),
        )
        return {what: measured([sys.executable, __file__, what, folder]) for what in GOALS}


def load(what: str, folder: str) -> None:
    """The child that is measured."""
    with tempfile.TemporaryDirectory(prefix="mongo-backup-airflow-") as home:
        os.environ |= {"AIRFLOW_HOME": home, "MONGO_BACKUP_CONFIG": folder}
        from airflow.dag_processing.dagbag import DagBag

        def bag(path: Path) -> None:
            found = DagBag(dag_folder=str(path))
            expected = 3 * CONFIGURATIONS + 1 if what == FOLDER else 1
            if found.import_errors or len(found.dags) != expected:
                raise SystemExit(f"{len(found.dags)} DAGs instead of {expected}: {found.import_errors}")

        dags = REPOSITORY / "dags"
        if what != FOLDER:
            os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = ONE
            dags = dags / FILE
        if what == OWN:
            bag(dags)
        with telling():
            bag(dags)


if __name__ == "__main__":
    load(*sys.argv[1:])
