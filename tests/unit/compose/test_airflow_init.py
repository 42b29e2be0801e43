"""The preparation of Airflow for docker-compose.yaml: the Connections are those that the example objects name."""

from __future__ import annotations

import importlib.util
import json
import re
import stat
from pathlib import Path
from types import ModuleType

import pytest

from mongo_backup.objects.loader import load_directory

ROOT = Path(__file__).parents[3]


@pytest.fixture
def airflow_init() -> ModuleType:
    spec = importlib.util.spec_from_file_location("airflow_init", ROOT / "include" / "image" / "airflow_init.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_makes_the_connections_of_the_example(airflow_init: ModuleType) -> None:
    resolved = load_directory(ROOT / "include" / "config").resolve("shop", "daily")
    named = {
        reference.connection
        for reference in (
            resolved.storage.spec.credentials,
            resolved.target.spec.credentials,
            resolved.target.spec.restore_credentials,
            resolved.configuration.spec.encryption,
        )
        if reference is not None
    }
    odd = "p@ss:w/ %?#&'\""
    environment = dict.fromkeys(
        (
            *("STORE_ACCESS_KEY", "STORE_SECRET_KEY", "REPOSITORY_PASSWORD"),
            *("MONGO_BACKUP_PASSWORD", "MONGO_RESTORE_PASSWORD"),
        ),
        odd,
    )
    made = airflow_init.connections(environment)
    assert set(made) == named
    assert all(connection["password"] == odd for connection in json.loads(json.dumps(made)).values())


def test_writes_the_login_for_airflow_alone(airflow_init: ModuleType, tmp_path: Path) -> None:
    airflow_init.write_login(tmp_path / "passwords.json", "admin", 'a "quoted" word')
    assert json.loads((tmp_path / "passwords.json").read_text()) == {"admin": 'a "quoted" word'}
    assert stat.S_IMODE((tmp_path / "passwords.json").stat().st_mode) == 0o600


def test_airflow_knows_every_option_that_is_set() -> None:
    """`AIRFLOW__SECTION__OPTION` with a typing error would be ignored without a word."""
    from airflow.configuration import conf

    names = re.findall(r"^ +AIRFLOW__([A-Z_]+?)__([A-Z_]+):", (ROOT / "docker-compose.yaml").read_text(), re.MULTILINE)
    assert len(names) >= 8
    unknown = [
        f"{section}.{option}"
        for section, option in names
        if option.lower() not in conf.configuration_description.get(section.lower(), {}).get("options", {})
    ]
    assert unknown == []
