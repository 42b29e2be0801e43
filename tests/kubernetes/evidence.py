"""Collects what a run leaves behind where people and programs can read it, and searches it for secrets."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, quote_plus

from mongo_backup_airflow.pods.spec import CREDENTIALS_FILE
from sandbox.airflow import Airflow
from sandbox.kubernetes import KubernetesCluster

POLL_SECONDS = 0.5


class Witness:
    """Watches pods and events of a namespace, as one who may read them, from `with` to its end."""

    def __init__(self, cluster: KubernetesCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.pods: dict[str, str] = {}
        """The last of each pod, specification and status, as JSON."""
        self.events: set[str] = set()
        self.credentials: dict[str, set[str]] = {}
        """Which credentials each Secret made for a run held, by their references."""

    def _watch(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self.look()

    def look(self) -> None:
        """Look once."""
        core, serialize = self._cluster.core, self._cluster.api.sanitize_for_serialization
        for pod in core.list_namespaced_pod(self._namespace).items:
            self.pods[pod.metadata.name] = json.dumps(serialize(pod), ensure_ascii=False)
        for event in core.list_namespaced_event(self._namespace).items:
            self.events.add(json.dumps(serialize(event), ensure_ascii=False))
        for secret in core.list_namespaced_secret(self._namespace).items:
            if document := (secret.data or {}).get(CREDENTIALS_FILE):
                self.credentials[secret.metadata.name] = set(json.loads(base64.b64decode(document)))

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.look()


def spellings(secret: str) -> set[bytes]:
    """The ways in which a secret may stand in a text: plain, in JSON, JSON in JSON, in Python, in a URL."""
    in_json = json.dumps(secret)[1:-1]
    texts = {secret, in_json, json.dumps(in_json)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    texts |= {repr(secret)[1:-1], quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {text.encode() for text in texts}


def places(witness: Witness, airflow: Airflow, cluster: KubernetesCluster) -> Iterator[tuple[str, bytes]]:
    """Everything that is left behind, by name."""
    for name, text in witness.pods.items():
        yield f"pod {name}", text.encode()
    for number, text in enumerate(sorted(witness.events)):
        yield f"event {number}", text.encode()
    for folder in (airflow.home / "logs", cluster.folder / "logs"):
        for file in folder.rglob("*"):
            if file.is_file():
                yield f"log {file.relative_to(folder)}", file.read_bytes()
    yield from tables(airflow.home / "airflow.db")


def tables(path: Path) -> Iterator[tuple[str, bytes]]:
    """Airflow's database, row by row: XCom, rendered fields, the audit log, serialised DAGs, all of it."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        names = [row[0] for row in database.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in database.execute(f'select * from "{name}"'):
                yield (
                    f"table {name}",
                    b"\0".join(value if isinstance(value, bytes) else str(value).encode() for value in row),
                )


def findings(secrets: Iterable[str], where: Iterable[tuple[str, bytes]]) -> list[str]:
    """Where secrets stand in the clear; never the secret itself."""
    wanted = {number: spellings(secret) for number, secret in enumerate(secrets)}
    return [
        f"secret number {number} in {name}"
        for name, content in where
        for number, texts in wanted.items()
        if any(text in content for text in texts)
    ]
