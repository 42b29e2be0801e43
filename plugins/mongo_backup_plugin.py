"""Registers the product with Airflow. The only file of this folder that Airflow runs (see `.airflowignore`)."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class MongoBackupPlugin(AirflowPlugin):
    """Shows up under Admin, Plugins. Views, links and listeners are added here."""

    name = "mongo_backup"
