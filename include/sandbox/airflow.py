"""A live Airflow on this machine: API server, scheduler, DAG processor and triggerer, each a process of its own.

SQLite and LocalExecutor, the product's own `dags` and `plugins`, everything on 127.0.0.1 and in a temporary folder.
Settings are those for a quick and quiet machine: no look-ups elsewhere, short waits. Facts about them:
https://airflow.apache.org/docs/apache-airflow/stable/configurations-ref.html
"""

from __future__ import annotations

import base64
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import PermanentError
from sandbox.airflow_client import AirflowClient
from sandbox.ports import PortLease, lease_port
from sandbox.processes import Process
from sandbox.waiting import wait_until
from sandbox.workspace import Workspace

logger = logging.getLogger(__name__)

REPOSITORY = Path(__file__).resolve().parents[2]
USER = "admin"
PASSWORD = "admin"  # for the sandbox alone: it listens on 127.0.0.1
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
MIGRATE_SECONDS = 600
READY_SECONDS = 300


class Airflow:
    """A real Airflow that runs the product's DAGs on the objects of a folder.

    :param objects: the folder of YAML objects.
    :param credentials: what the objects refer to; each becomes an Airflow Connection.
    :param settings: further settings, such as `{"AIRFLOW__CORE__PARALLELISM": "4"}`, and other variables.
    :param dags: the folder of DAG files; the product's if None.
    :param local_settings: a file to become Airflow's `airflow_local_settings.py`.
    """

    def __init__(
        self,
        *,
        objects: Path,
        credentials: Credentials | None = None,
        settings: Mapping[str, str] | None = None,
        dags: Path | None = None,
        local_settings: Path | None = None,
    ) -> None:
        self.objects = objects
        self.workspace = Workspace("airflow")
        self._credentials = credentials or Credentials()
        if local_settings is not None:
            shutil.copy(local_settings, self.workspace.folder("config") / "airflow_local_settings.py")
        self._lease: PortLease = lease_port()
        self.environment = {
            **_without_airflow(os.environ),
            **self._settings(dags or REPOSITORY / "dags"),
            **(settings or {}),
        }
        self.components = {name: self._component(name) for name in COMPONENTS}
        self.client = AirflowClient(url=self.url, username=USER, password=PASSWORD)

    @property
    def url(self) -> str:
        """Where the UI and the REST API are."""
        return f"http://{self._lease.address}"

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.workspace.path

    def _settings(self, dags: Path) -> dict[str, str]:
        home, url = self.home, self.url
        passwords = home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({USER: PASSWORD}))
        sections: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": dags,
                "plugins_folder": REPOSITORY / "plugins",
                "load_examples": False,
                "executor": "LocalExecutor",
                "parallelism": 8,
                "execution_api_server_url": f"{url}/execution/",
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": passwords,
                "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}"},
            "api": {
                "host": self._lease.host,
                "port": self._lease.port,
                "base_url": url,
                "workers": 1,
                "secret_key": secrets.token_hex(16),
            },
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "logging": {"base_log_folder": home / "logs"},
            "scheduler": {
                "scheduler_idle_sleep_time": 0.1,
                "enable_health_check": False,
                "orphaned_tasks_check_interval": 15,
            },
            "dag_processor": {
                "refresh_interval": 10,
                "min_file_process_interval": 30,
                "bundle_refresh_check_interval": 5,
                "parsing_processes": 1,
            },
            "workers": {"min_heartbeat_interval": 2},
        }
        named = {
            f"AIRFLOW__{section}__{name}".upper(): str(value)
            for section, values in sections.items()
            for name, value in values.items()
        }
        return {
            **named,
            "AIRFLOW_HOME": str(home),
            "MONGO_BACKUP_CONFIG": str(self.objects),
            "MONGO_BACKUP_RETRY_SECONDS": "2",
            "NO_PROXY": f"{self._lease.host},localhost",
            "PYTHONUNBUFFERED": "1",
        }

    def _component(self, name: str) -> Process:
        # The scheduler's and the triggerer's log servers would listen on fixed ports; logs are read from the folder.
        quiet = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
        return Process(
            name=f"Airflow {name}",
            command=[sys.executable, "-m", "airflow", name, *quiet],
            log_path=self.workspace.folder("logs") / f"{name}.log",
            environment=self.environment,
            cwd=self.home,
            stop_timeout=10,
            tree=True,
        )

    # Life

    def start(self) -> Airflow:
        """Make the database, start all components, wait until they are healthy, add the connections. Returns itself.

        :raises MongoBackupError: one did not come up; the message shows the end of its log.
        """
        began = time.monotonic()
        try:
            self._migrate()
            for process in self.components.values():
                process.start()
            self.components["api-server"].wait_ready(self.client.healthy, timeout=READY_SECONDS, interval=0.2)
            for reference, credential in self._credentials.values.items():
                self._add_connection(reference.removeprefix("connection:"), credential)
        except BaseException:
            self.close()
            raise
        logger.info("Airflow is up at %s after %.1f s", self.url, time.monotonic() - began)
        return self

    def _add_connection(self, name: str, credential: Credential) -> None:
        """Add one; on a busy machine SQLite may be locked for longer than the API server waits."""

        def add() -> bool:
            self.client.add_connection(name, credential)
            return True

        wait_until(add, what=f"connection {name} is added", timeout=60, interval=1, retry_on=(PermanentError,))

    def _migrate(self) -> None:
        log = self.workspace.folder("logs") / "migrate.log"
        with log.open("wb") as output:
            done = subprocess.run(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=MIGRATE_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise PermanentError(f"Airflow's database was not made; the log ends:\n{log.read_text()[-3000:]}")

    def restart(self, name: str, *, kill: bool = False) -> None:
        """Stop one component (`kill`: by SIGKILL, with all that it started), start it, wait until all are healthy."""
        process = self.components[name]
        if kill:
            process.kill()
        else:
            process.stop()
        process.start()
        process.wait_ready(self.client.healthy, timeout=READY_SECONDS, interval=0.2)

    def close(self) -> None:
        """Stop all, remove all. May be called again."""
        for process in self.components.values():
            process.ask_to_stop()
        for process in self.components.values():
            process.stop()
        self.client.close()
        self.workspace.remove()
        self._lease.release()

    def __enter__(self) -> Airflow:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _without_airflow(environment: Mapping[str, str]) -> dict[str, str]:
    """Nothing of an Airflow that this process may belong to."""
    return {name: value for name, value in environment.items() if not name.lstrip("_").startswith("AIRFLOW")}
