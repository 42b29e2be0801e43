"""The watchdog: one DAG that undoes what dead runs left on any target."""

from pathlib import Path

from mongo_backup_airflow.builders.family import release_dags

globals().update(release_dags(Path(__file__).resolve().parent))
