"""What Airflow reads about the provider is of the form that it asks for."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

import airflow
import jsonschema


def test_provider_info_is_valid_and_registered() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    found = [each for each in entry_points(group="apache_airflow_provider") if "mongo_backup_airflow" in each.value]
    assert len(found) == 1
    info = found[0].load()()
    jsonschema.validate(info, schema)
    assert info["package-name"] == "mongo-backup"
