"""Backups: one Airflow DAG for each session of each BackupConfiguration."""

from pathlib import Path

from mongo_backup_airflow.builders.family import backup_dags

globals().update(backup_dags(Path(__file__).resolve().parent))
