"""Maintenance: one Airflow DAG for the repository of each BackupConfiguration, and for each copy."""

from pathlib import Path

from mongo_backup_airflow.builders.family import maintain_dags

globals().update(maintain_dags(Path(__file__).resolve().parent))
