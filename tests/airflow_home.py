"""Tests that import Airflow: its own files go to a temporary folder, not to the home of whoever runs them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile


def set_up() -> None:
    """Make the folder. Call it before anything imports airflow, which makes its files where `AIRFLOW_HOME` says."""
    if "AIRFLOW_HOME" not in os.environ:
        os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mongo-backup-airflow-")
        atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
