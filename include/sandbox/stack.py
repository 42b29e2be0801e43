"""The whole sandbox: MongoDB, S3 store, Pushgateway, and an Airflow with the objects for them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mongo_backup.credentials import Credentials
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from sandbox import objects
from sandbox.airflow import Airflow
from sandbox.cluster import ShardedCluster
from sandbox.deployment import Deployment
from sandbox.pushgateway import Pushgateway
from sandbox.s3 import S3Store
from sandbox.workspace import Workspace

CONFIGURATION, SESSION = "shop", "manual"
LOCAL_SETTINGS = Path(__file__).parents[1] / "image" / "airflow_local_settings.py"
BACKUP_DAG, RESTORE_DAG = f"backup.{CONFIGURATION}.{SESSION}", f"restore.{CONFIGURATION}"


class Stack:
    """Starts everything in the right order; `with` ends everything.

    :param deployment: what is backed up; None: a sharded cluster.
    :param session: further fields of the session.
    :param pushgateway: start one, and push metrics to it.
    :param settings: further environment of Airflow.
    :param further: objects beside those for the one configuration.
    :param spec: further fields of the BackupConfiguration's spec.
    """

    def __init__(
        self,
        *,
        deployment: Deployment | None = None,
        session: dict[str, Any] | None = None,
        pushgateway: bool = False,
        settings: dict[str, str] | None = None,
        further: Sequence[dict[str, Any]] = (),
        **spec: Any,
    ) -> None:
        self.deployment = deployment or ShardedCluster()
        self.store = S3Store()
        self.pushgateway = Pushgateway() if pushgateway else None
        self._session = session
        self._further = further
        self._spec = spec
        self._settings = settings
        self._workspace = Workspace("objects")
        self._stack = ExitStack()
        self.airflow: Airflow | None = None

    @property
    def _in_pods(self) -> bool:
        return bool(self._spec.get("execution", {}).get("runner") == "kubernetes")

    @property
    def folder(self) -> Path:
        """The folder of the objects."""
        return self._workspace.path

    @property
    def live(self) -> Airflow:
        """The Airflow, which must have been started."""
        if self.airflow is None:
            raise RuntimeError("the stack was not started")
        return self.airflow

    @property
    def credentials(self) -> Credentials:
        """Every credential that the objects name."""
        return objects.credentials(self.deployment, self.store)

    def resolve(self) -> Objects:
        """The configuration's objects, as the DAGs see them."""
        return load_directory(self.folder).resolve(CONFIGURATION, SESSION)

    def start_servers(self) -> Self:
        """Start MongoDB, the store and the Pushgateway, and write the objects."""
        self._stack.callback(self._workspace.remove)
        self._stack.enter_context(self.deployment)
        self._stack.enter_context(self.store)
        if self.pushgateway is not None:
            self._stack.enter_context(self.pushgateway)
            self._spec["metrics"] = {"pushgateway": self.pushgateway.url}
        objects.write_objects(
            self.folder,
            self.deployment.app_binding(),
            objects.s3_storage(self.store),
            objects.configuration(session=self._session, **self._spec),
            *self._further,
        )
        return self

    def start_airflow(self) -> Airflow:
        """Start Airflow on the objects, and wait until both DAGs are there."""
        self.airflow = self._stack.enter_context(
            Airflow(
                objects=self.folder,
                credentials=self.credentials,
                settings=self._settings,
                local_settings=LOCAL_SETTINGS if self._in_pods else None,
            )
        )
        for dag in (BACKUP_DAG, RESTORE_DAG):
            self.airflow.client.wait_for_dag(dag)
            self.airflow.client.pause(dag, paused=False)
        return self.airflow

    def __enter__(self) -> Self:
        try:
            self.start_servers()
            self.start_airflow()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
