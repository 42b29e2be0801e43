"""Airflow's own files go to a temporary folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

if "AIRFLOW_HOME" not in os.environ:  # before anything imports airflow: it makes its files where this says
    os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="mongo-backup-airflow-")
    atexit.register(shutil.rmtree, os.environ["AIRFLOW_HOME"], ignore_errors=True)
