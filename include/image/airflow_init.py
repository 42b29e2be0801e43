"""Prepares Airflow's database for docker-compose.yaml: tables, the login, the Connections. May run again.

Passwords come by environment and go into the database (encrypted by Airflow's Fernet key) and the login file; none is
an argument of a command.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

PASSWORDS_FILE = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


def connections(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The Connections that include/config/shop.yaml names."""

    def credential(login: str, password: str) -> dict[str, Any]:
        return {"conn_type": "generic", "login": login, "password": environment[password]}

    return {
        "backup_store": credential(environment["STORE_ACCESS_KEY"], "STORE_SECRET_KEY"),
        "shop_mongodb": credential("mongo-backup", "MONGO_BACKUP_PASSWORD"),
        "shop_mongodb_restore": credential("mongo-restore", "MONGO_RESTORE_PASSWORD"),
        "shop_repository": credential("", "REPOSITORY_PASSWORD"),
    }


def write_login(path: Path, user: str, password: str) -> None:
    """Write the file that Airflow's simple auth manager reads."""
    path.touch(mode=0o600)
    path.write_text(json.dumps({user: password}) + "\n")


def main() -> None:
    """Migrate, log in, import."""
    subprocess.run(["airflow", "db", "migrate"], check=True)
    environment = dict(os.environ)
    user, password = environment["AIRFLOW_ADMIN_USER"], environment["AIRFLOW_ADMIN_PASSWORD"]
    write_login(Path(environment[PASSWORDS_FILE]), user, password)
    with tempfile.TemporaryDirectory() as folder:
        document = Path(folder) / "connections.json"
        document.touch(mode=0o600)
        document.write_text(json.dumps(connections(environment)))
        subprocess.run(["airflow", "connections", "import", "--overwrite", str(document)], check=True)


if __name__ == "__main__":
    main()
