"""Runs single agent steps in pods of the test cluster, without Airflow's scheduler."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.client import ApiException
from pydantic import SecretStr

from mongo_backup.agent.contract import BackupRequest, Envelope, RunIdentity
from mongo_backup.credentials import Credentials
from mongo_backup.objects.addon import Function
from mongo_backup.objects.configuration import Execution
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.kubernetes import KubernetesRunner
from sandbox import objects
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.files import NODE_NAME
from sandbox.kubernetes.ready import EXECUTION, NAMESPACE
from sandbox.replica_set import ReplicaSet
from sandbox.s3 import S3Store
from sandbox.waiting import wait_until


def document(credentials: Credentials) -> SecretStr:
    """Credentials in the form in which the agent reads them."""
    values = {
        key: {
            "username": value.username,
            "password": value.password_text(),
            "extra": {name: secret.get_secret_value() for name, secret in value.extra.items()},
        }
        for key, value in credentials.values.items()
    }
    return SecretStr(json.dumps(values))


def _by_secret(found: Objects) -> Objects:
    """The same objects with references to Secrets in place of those to Connections."""
    text = re.sub(r'\{"connection":"([^"]+)","secret":null\}', r'{"secret":{"name":"\1"}}', found.model_dump_json())
    return Objects.model_validate_json(text)


@dataclass
class Bench:
    """What a test of a single step needs."""

    cluster: KubernetesCluster
    deployment: ReplicaSet
    store: S3Store
    folder: Path
    run_id: str = "manual__bench"
    """Of all tests: the target is held by one run at a time."""

    def objects(self, **execution: Any) -> Objects:
        """The objects for the servers."""
        objects.write_objects(
            self.folder,
            self.deployment.app_binding(),
            objects.s3_storage(self.store),
            objects.configuration(execution={**EXECUTION, **execution}),
        )
        return load_directory(self.folder).resolve("shop", "manual")

    def call(self, step: str = "backup.prepare", *, task: str = "prepare", **more: Any) -> StepCall:
        """A step of a backup."""
        run = RunIdentity(dag_id="backup.shop.manual", run_id=self.run_id)
        settings: dict[str, Any] = {
            "step": step,
            "request": self.request(self.objects()),
            "credentials": document(objects.credentials(self.deployment, self.store)),
            "run": run.owner,
            "task": task,
            "alone": True,
            "labels": {"configuration": "shop", "session": "manual"},
        }
        return StepCall(**{**settings, **more})

    def request(self, found: Objects) -> BackupRequest:
        """The request of a first step."""
        run = RunIdentity(dag_id="backup.shop.manual", run_id=self.run_id)
        return BackupRequest(run=run, objects=found, session="manual")

    def runner(self, function: dict[str, Any] | None = None, **execution: Any) -> KubernetesRunner:
        """A runner with Airflow's own rights."""
        return KubernetesRunner(
            execution=Execution.model_validate({**EXECUTION, **execution}),
            function=Function.model_validate(function or {}),
        )

    def run(self, call: StepCall | None = None, function: dict[str, Any] | None = None, **execution: Any) -> Envelope:
        """Run one step to its end."""
        return self.runner(function, **execution).run(call or self.call())

    # Disturb and look

    @contextmanager
    def hanging_store(self) -> Iterator[None]:
        """The store takes connections and answers nothing: a step that needs it is sure to be running."""
        self.store.pause()
        try:
            yield
        finally:
            self.store.resume()

    def lose_node(self) -> None:
        """The kubelet ends at once; its pods are taken for lost, as where another node is left.

        When all nodes are lost, Kubernetes evicts nothing, which it sees a moment before or after it has tainted the
        last one (https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction).
        """
        self.cluster.servers["kubelet"].kill()
        core = self.cluster.core

        def unreachable() -> bool:
            conditions = core.read_node(NODE_NAME).status.conditions
            return any(each.type == "Ready" and each.status == "Unknown" for each in conditions)

        wait_until(unreachable, what="the node is not ready", timeout=180, interval=1)
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        core.patch_node(NODE_NAME, {"spec": {"taints": [taint]}})

    def wait_for_agent(self) -> str:
        """Wait until an agent runs, with signals of its own in place; the pod's name."""

        def running() -> str | None:
            for pod in self.pods():
                if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
                    log = self.cluster.core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE)
                    return pod.metadata.name if log else None
            return None

        return wait_until(running, what="an agent runs", timeout=120, retry_on=(ApiException,))

    def wait_for_nothing(self) -> None:
        """Wait until no pod is left; no Secret may be left before that."""
        assert not self.secrets()
        wait_until(lambda: not self.pods(), what="all pods are gone", timeout=90)

    @contextmanager
    def referenced_secrets(self) -> Iterator[StepCall]:
        """A step whose credentials are Kubernetes Secrets that a person made."""
        found = objects.credentials(self.deployment, self.store)
        core, names = self.cluster.core, {}
        for key, value in found.values.items():
            name = key.removeprefix("connection:")
            names[key] = name
            data = {"username": value.username or "", "password": value.password_text() or ""}
            body = {"metadata": {"name": name}, "stringData": data}
            core.create_namespaced_secret(NAMESPACE, body)
        try:
            yield self.call(
                request=self.request(_by_secret(self.objects())),
                credentials=SecretStr("{}"),
                secrets=tuple(names.values()),
            )
        finally:
            for name in names.values():
                core.delete_namespaced_secret(name, NAMESPACE)

    def pods(self) -> list[Any]:
        """All pods of the namespace."""
        return list(self.cluster.core.list_namespaced_pod(NAMESPACE).items)

    def secrets(self) -> list[str]:
        """Names of all Secrets of the namespace."""
        return [each.metadata.name for each in self.cluster.core.list_namespaced_secret(NAMESPACE).items]
