"""Verifications: one Airflow DAG for each BackupConfiguration that asks for them."""

from pathlib import Path

from mongo_backup_airflow.builders.family import verify_dags

globals().update(verify_dags(Path(__file__).resolve().parent))
