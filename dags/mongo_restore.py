"""Restores: one Airflow DAG for each BackupConfiguration, to be triggered."""

from pathlib import Path

from mongo_backup_airflow.builders.family import restore_dags

globals().update(restore_dags(Path(__file__).resolve().parent))
