"""Single steps in real pods, with exactly the rights of the manifests: what goes in, what comes out, what is left."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.kubernetes.bench import Bench

from kubernetes import client as k8s
from mongo_backup.agent.contract import MembersResult, PrepareResult
from mongo_backup.errors import ConfigurationError, ExitCode, TransientError
from mongo_backup_airflow.pods import spec
from mongo_backup_airflow.runners.base import runner_for
from sandbox.kubernetes.ready import NAMESPACE, connection
from sandbox.waiting import wait_until


def test_a_step_runs_in_a_pod_and_leaves_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    envelope = bench.run()
    assert envelope.ok, envelope.message
    assert PrepareResult.model_validate(envelope.result).components == ("rs0",)
    said = [record.getMessage() for record in caplog.records if record.name == "mongo_backup.agent"]
    assert any(line.startswith("Found replica_set with MongoDB") for line in said), said
    assert len(said) == len(set(said)), "a line was shown twice"
    bench.wait_for_nothing()


def test_credentials_by_reference_never_pass_airflow(bench: Bench) -> None:
    """All credentials are Secrets: no Secret is made for the run, and Airflow's role cannot read those there are."""
    with bench.referenced_secrets() as call:
        envelope = bench.run(call)
    assert envelope.ok, envelope.message


def test_a_result_larger_than_a_termination_message(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "TERMINATION_BYTES", 100)
    envelope = bench.run()
    assert envelope.ok, envelope.message
    assert PrepareResult.model_validate(envelope.result).components == ("rs0",)


def test_a_request_larger_than_an_environment_variable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "LARGEST_VARIABLE", 100)
    envelope = bench.run()
    assert envelope.ok, envelope.message


def test_an_error_of_the_agent_arrives_as_its_own(bench: Bench) -> None:
    envelope = bench.run(bench.call("backup.none"))
    assert envelope.exit_code == ExitCode.CONFIGURATION
    assert "there is no step backup.none" in (envelope.message or "")
    bench.wait_for_nothing()


def test_a_stopped_step_undoes_and_ends(bench: Bench) -> None:
    runner = bench.runner(termination_grace="2m")  # restic gets its time to take back its lock
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(runner.run, bench.call())
        bench.wait_for_agent()
        runner.stop()
        envelope = running.result(timeout=120)
    assert envelope.exit_code == ExitCode.INTERRUPTED
    bench.wait_for_nothing()


def test_an_older_pod_of_the_task_ends_first(bench: Bench) -> None:
    call = bench.call()
    with ThreadPoolExecutor() as pool:
        with bench.hanging_store():
            first = pool.submit(bench.run, call)
            old = bench.wait_for_agent()
            second = pool.submit(bench.run, call)
            lost = first.result(timeout=120).error()
        assert isinstance(lost, TransientError)
        assert "deleted the pod" in lost.message
        assert second.result(timeout=120).ok
    assert old not in [pod.metadata.name for pod in bench.pods()]


@pytest.mark.parametrize("control_steps", ["pod", "worker"])
def test_the_last_step_ends_a_dump_that_airflow_lost(bench: Bench, control_steps: str) -> None:
    """The dump hangs at its store; nobody waits for it any more."""
    prepared = PrepareResult.model_validate(bench.run().result)
    asked = bench.request(bench.objects()).model_copy(update={"set_id": prepared.set_id})
    found = bench.run(bench.call("backup.identify_secondaries", task="identify_secondaries", request=asked))
    members = MembersResult.model_validate(found.result).members
    dump = asked.model_copy(update={"members": members, "component": "rs0"})
    last = bench.call("backup.finish", task="finish", request=asked, alone=False)
    objects = bench.objects(control_steps=control_steps)
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        lost = pool.submit(bench.run, bench.call("backup.dump", task="dump[0]", request=dump, alone=False))
        bench.wait_for_agent()
        ended = runner_for(objects, "backup.finish").run(last)
        assert ended.ok, ended.message
        error = lost.result(timeout=120).error()
    assert "deleted the pod" in error.message
    bench.wait_for_nothing()


def test_the_runs_secret_goes_with_its_pod(bench: Bench) -> None:
    """A worker that dies removes nothing: the pod's end takes the Secret along."""
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(bench.run)
        name = bench.wait_for_agent()
        (secret,) = bench.cluster.core.list_namespaced_secret(NAMESPACE).items
        (owner,) = secret.metadata.owner_references
        assert (secret.metadata.name, owner.kind, owner.name, secret.immutable) == (name, "Pod", name, True)
        bench.cluster.core.delete_namespaced_pod(name, NAMESPACE)
        wait_until(lambda: not bench.secrets(), what="the Secret is gone", timeout=60)
        assert not running.result(timeout=60).ok


def test_airflow_may_do_no_more_than_it_needs(bench: Bench, airflow_client: k8s.CoreV1Api) -> None:
    attempts = [
        lambda: airflow_client.list_namespaced_secret(NAMESPACE),
        lambda: airflow_client.read_namespaced_secret("any", NAMESPACE),
        lambda: airflow_client.list_namespaced_pod("default"),
        lambda: airflow_client.list_node(),
        lambda: airflow_client.patch_namespaced_pod("any", NAMESPACE, {}),
        lambda: airflow_client.list_namespaced_config_map(NAMESPACE),
    ]
    for attempt in attempts:
        with pytest.raises(k8s.ApiException) as caught:
            attempt()
        assert caught.value.status == 403


def test_without_rights_the_error_says_which(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    powerless = bench.cluster.account_kubeconfig("mongo-backup-agent", namespace=NAMESPACE)
    for name, value in connection(powerless).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=r"cannot list resource \"pods\".*rbac\.md"):
        bench.run()


def test_the_namespace_must_be_there(bench: Bench) -> None:
    with pytest.raises(ConfigurationError, match="forbidden"):  # the role ends with the namespace
        bench.run(namespace="elsewhere")


@pytest.mark.parametrize("seconds", [0, pytest.param(60, marks=pytest.mark.long)])
def test_the_api_server_may_be_away_for_a_while(bench: Bench, caplog: pytest.LogCaptureFixture, seconds: float) -> None:
    caplog.set_level(logging.INFO)
    server = bench.cluster.servers["kube-apiserver"]
    with ThreadPoolExecutor() as pool:
        with bench.hanging_store():
            running = pool.submit(bench.run)
            bench.wait_for_agent()
            server.kill()
            wait_until(
                lambda: any("trying again" in each.getMessage() for each in caplog.records), what="it is noticed"
            )
        noticed = time.monotonic()  # the agent goes on to its end meanwhile
        wait_until(lambda: time.monotonic() >= noticed + seconds, what="a while is over", timeout=seconds + 10)
        server.start()
        envelope = running.result(timeout=180)
    bench.cluster.wait_for_api()
    assert envelope.ok, envelope.message
    bench.wait_for_nothing()
