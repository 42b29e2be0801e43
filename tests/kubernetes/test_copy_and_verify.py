"""A set is copied by a pod into a second store, and verified beside a server in the same pod; what can go wrong there.

The copy has a store, a key and a password of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.kubernetes.bench import Bench, document
from tests.kubernetes.evidence import Witness, findings
from tests.kubernetes.offsite import COPY, CREDENTIALS, REFERENCES, SECRETS, SESSION, VERIFICATION, storage

from mongo_backup.agent.contract import BackupRequest, CopyResult, Envelope, RunIdentity
from mongo_backup.agent.verify_contract import ChooseResult, VerificationResult, VerifyRequest
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, ExitCode, TransientError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from mongo_backup.repository.restic import Repository
from mongo_backup_airflow.hooks.credentials import copy_references, repository_references
from mongo_backup_airflow.pods.throwaway import SERVER
from mongo_backup_airflow.runners.base import StepCall, runner_for
from sandbox import objects
from sandbox.inline import InlineBackup
from sandbox.kubernetes import KubernetesCluster
from sandbox.kubernetes.ready import EXECUTION, NAMESPACE
from sandbox.ports import listening_on
from sandbox.replica_set import ReplicaSet
from sandbox.s3 import S3Store
from sandbox.waiting import wait_until

OURS = {"connection:sandbox-s3", "connection:sandbox-encryption"}
CHECKS = [{"name": "all orders", "namespace": "shop.orders", "count": 1000}]


@dataclass
class Backed:
    """A complete set in a repository, and a copy that does not have it yet."""

    cluster: KubernetesCluster
    folder: Path
    credentials: Credentials
    documents: list[dict[str, Any]]

    def objects(self, **verification: Any) -> Objects:
        """The objects; further fields of `verification`."""
        settings = {**VERIFICATION, "checks": CHECKS, **verification}
        execution = {**EXECUTION, "deferrable": False}
        found = objects.configuration(session=SESSION, execution=execution, verification=settings)
        objects.write_objects(self.folder, *self.documents, found)
        return load_directory(self.folder).resolve("shop", "manual")

    def known(self, keys: set[str]) -> SecretStr:
        """These credentials and no others, as the agent reads them."""
        return document(Credentials(values={key: self.credentials.values[key] for key in keys}))

    def repository(self, copy: str | None = None) -> Repository:
        """The repository, or a copy."""
        found = self.objects().read_from(copy)
        return Repository.of(configuration=found.configuration, storage=found.storage, credentials=self.credentials)

    def copy(self) -> StepCall:
        """The step that copies."""
        found, run = self.objects(), RunIdentity(dag_id="backup.shop.manual", run_id="manual__copy")
        return self._call(
            found,
            step="backup.copy",
            request=BackupRequest(run=run, objects=found, session="manual", copy_name=COPY),
            credentials=self.known({each.key for each in copy_references(found, COPY) if each}),
        )

    def verify(self, copy: str | None = None, **settings: Any) -> StepCall:
        """The step that verifies the newest set, or that of a copy."""
        found = self.objects(**settings).read_from(copy)
        with self.repository(copy) as repository:
            entry = SetCatalog.read(repository).find()
        chosen = ChooseResult(set_id=entry.set_id, manifest_id=entry.manifest_id, time=entry.time)
        run = RunIdentity(dag_id="verify.shop", run_id="manual__verify")
        return self._call(
            found,
            step="verify.restore_and_compare",
            request=VerifyRequest(run=run, objects=found, chosen=chosen),
            credentials=self.known({each.key for each in repository_references(found) if each}),
        )

    def _call(self, found: Objects, *, step: str, request: Any, **more: Any) -> StepCall:
        return StepCall(step=step, request=request, run=request.run.owner, task=step, alone=False, **more)

    def run(self, call: StepCall) -> Envelope:
        """Run the step as its operator does."""
        return runner_for(call.request.objects, call.step).run(call)  # type: ignore[attr-defined]

    def pod(self, call: StepCall) -> Any | None:
        """The step's pod, as far as there is one."""
        found = self.cluster.core.list_namespaced_pod(NAMESPACE, label_selector=f"mongo-backup/step={call.step}")
        return next((pod for pod in found.items if pod.metadata.deletion_timestamp is None), None)


@pytest.fixture(scope="module")
def backed(
    cluster: KubernetesCluster,
    servers: tuple[ReplicaSet, S3Store],
    second_store: S3Store,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Backed]:
    """A set of the replica set in one store, and the address of a second one."""
    deployment, store = servers
    with listening_on(cluster.address):
        known = objects.credentials(deployment, store).values
        further = {f"connection:{name}": value for name, value in CREDENTIALS.items()}
        cluster.load_server_image()
        found = Backed(
            cluster=cluster,
            folder=tmp_path_factory.mktemp("objects"),
            credentials=Credentials(values={**known, **further}),
            documents=[deployment.app_binding(), objects.s3_storage(store, prefix="copied"), storage(second_store)],
        )
        # as the run whose steps the other tests try: the target is held by one run at a time
        InlineBackup(found.objects(), found.credentials, run_id=Bench.run_id).run()
        yield found


def pod_of(witness: Witness, step: str) -> tuple[str, dict[str, Any]]:
    """The one pod of a step that was seen: its name and itself."""
    pods = {name: json.loads(text) for name, text in witness.pods.items()}
    [found] = [each for each in pods.items() if each[1]["metadata"]["labels"]["mongo-backup/step"] == step]
    return found


@pytest.fixture(autouse=True)
def _airflows_rights_and_nothing_left(bench: Bench) -> Iterator[None]:
    yield
    bench.wait_for_nothing()


@pytest.mark.long
def test_a_set_is_copied_in_a_pod(backed: Backed, second_store: S3Store) -> None:
    """And verified there: so it is complete."""
    second_store.start()
    with Witness(backed.cluster, NAMESPACE) as witness:
        envelope = backed.run(backed.copy())
    assert envelope.ok, envelope.message
    assert CopyResult.model_validate(envelope.result).copied_sets == 1
    name, pod = pod_of(witness, "backup.copy")
    assert witness.credentials[name] == OURS | REFERENCES
    seen = [
        ("pod", json.dumps(pod, ensure_ascii=False).encode()),
        *(("event", each.encode()) for each in witness.events),
    ]
    assert not findings(SECRETS, [*seen, ("result", envelope.model_dump_json().encode())])
    assert backed.run(backed.verify(COPY)).ok
    with backed.repository(COPY) as repository:
        assert SetCatalog.read(repository).find().verified


def test_a_set_is_verified_beside_a_server_in_the_same_pod(backed: Backed) -> None:
    with Witness(backed.cluster, NAMESPACE) as witness:
        envelope = backed.run(backed.verify())
    assert envelope.ok, envelope.message
    result = VerificationResult.model_validate(envelope.result)
    assert (result.checks, result.documents >= 1000) == (1, True)
    assert result.server_version.startswith("6.0")
    with backed.repository() as repository:
        assert SetCatalog.read(repository).find().verified
    name, pod = pod_of(witness, "verify.restore_and_compare")
    assert witness.credentials[name] == OURS
    spec = pod["spec"]
    assert spec["serviceAccountName"] == EXECUTION["service_account"]
    [server], [agent] = spec["initContainers"], spec["containers"]
    assert server["resources"] == VERIFICATION["resources"]
    assert not {"env", "ports"} & server.keys()
    mounted = [{each["mountPath"] for each in one["volumeMounts"]} for one in (server, agent)]
    assert mounted[0] == {"/var/run/mongod", "/data/db"}, "nothing of the Secret"
    assert mounted[0] & mounted[1] == {"/var/run/mongod"}


@pytest.mark.long
def test_a_check_that_fails_is_a_verdict(backed: Backed) -> None:
    call = backed.verify(checks=[{**CHECKS[0], "count": 1001}])
    envelope = backed.run(call)
    assert envelope.exit_code == ExitCode.VERIFICATION
    assert "1000 documents instead of 1001" in str(envelope.message)
    with backed.repository() as repository:
        assert SetCatalog.read(repository).find().verdict == "failed"


@pytest.mark.long
def test_a_server_image_that_is_not_there(backed: Backed) -> None:
    error = backed.run(backed.verify(image="127.0.0.1:1/no-such-mongo:9")).error()
    assert isinstance(error, TransientError)
    assert "127.0.0.1:1/no-such-mongo:9" in error.message
    assert "verification.image" in error.message


@pytest.mark.long
def test_an_image_without_a_server(backed: Backed) -> None:
    error = backed.run(backed.verify(image="sandbox.local/pause:1")).error()
    assert isinstance(error, ConfigurationError)
    assert "mongod" in error.message
    assert "verification.image" in error.message


@pytest.mark.long
def test_a_server_that_is_killed_is_no_verdict(backed: Backed) -> None:
    """It starts again in the same pod, perhaps without what was restored: that says nothing of the set.

    Twice: the driver asks once more after the first time, and nothing was lost.
    """
    assert backed.run(backed.verify()).ok
    slow = {"$function": {"body": "function() { sleep(15000); return true; }", "args": [], "lang": "js"}}
    question = {"namespace": "shop.orders", "filter": {"_id": 7, "$expr": slow}, "count": 1}
    call = backed.verify(checks=[{"name": "slow", **question}])
    with ThreadPoolExecutor() as pool:
        running = pool.submit(backed.run, call)
        wait_until(lambda: "read back" in log_of(backed, call), what="it is restored", timeout=60)
        for restarts in (0, 1):
            wait_until(lambda: server_runs(backed, call, restarts=restarts), what="it runs", timeout=60)  # noqa: B023
            assert backed.cluster.kill_containers(SERVER) == 1
        error = running.result(timeout=120).error()
    assert isinstance(error, TransientError)
    assert "the throw-away server died" in error.message
    assert f"the container {SERVER} died" in error.message
    with backed.repository() as repository:
        assert SetCatalog.read(repository).find().verified


def server_runs(backed: Backed, call: StepCall, *, restarts: int) -> bool:
    """Whether the server beside the agent runs, after so many restarts."""
    pod = backed.pod(call)
    [status] = pod.status.init_container_statuses if pod else [None]
    return status is not None and status.restart_count == restarts and status.state.running is not None


def log_of(backed: Backed, call: StepCall) -> str:
    """The agent's log, as far as there is one."""
    from kubernetes.client import ApiException

    pod = backed.pod(call)
    try:
        return str(backed.cluster.core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE)) if pod else ""
    except ApiException:
        return ""
