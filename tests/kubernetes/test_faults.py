"""What befalls pods: each fault gives a clear reason, the right decision about another try, and leaves nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.kubernetes.bench import Bench

from kubernetes import client as k8s
from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import ConfigurationError, ConflictError, MongoBackupError, TransientError
from mongo_backup_airflow.pods import follow
from mongo_backup_airflow.runners import kubernetes
from sandbox.kubernetes.ready import NAMESPACE


@pytest.fixture(autouse=True)
def _nothing_is_left(bench: Bench) -> object:
    yield
    bench.wait_for_nothing()


def error_of(envelope: Envelope) -> MongoBackupError:
    assert not envelope.ok
    return envelope.error()


def test_an_image_that_is_not_there(bench: Bench) -> None:
    error = error_of(bench.run(function={"image": "no-such-agent:9", "image_pull_policy": "Never"}))
    assert isinstance(error, ConfigurationError)
    assert "no-such-agent:9" in error.message
    assert "ErrImageNeverPull" in error.message


def test_a_registry_that_does_not_answer(bench: Bench) -> None:
    error = error_of(bench.run(function={"image": "127.0.0.1:1/no-such-agent:9"}))
    assert isinstance(error, TransientError)
    assert "127.0.0.1:1/no-such-agent:9" in error.message
    assert "cannot be pulled" in error.message


def test_an_image_without_the_agent(bench: Bench) -> None:
    error = error_of(bench.run(function={"image": "sandbox.local/pause:1", "image_pull_policy": "Never"}))
    assert isinstance(error, ConfigurationError)
    assert "mongo-backup" in error.message


def test_no_node_takes_the_pod(bench: Bench) -> None:
    error = error_of(bench.run(function={"node_selector": {"disk": "none-has-it"}}, start_timeout="3s"))
    assert isinstance(error, TransientError)
    assert "no node takes it: 0/1 nodes are available" in error.message


def test_too_little_memory(bench: Bench) -> None:
    error = error_of(bench.run(function={"resources": {"limits": {"memory": "32Mi"}}}))
    assert isinstance(error, TransientError)
    assert "limit 32Mi" in error.message
    assert "resources.limits.memory" in error.message


def test_admission_refuses(bench: Bench) -> None:
    error = error_of(bench.run(function={"container_security_context": {"allowPrivilegeEscalation": True}}))
    assert isinstance(error, ConfigurationError)
    assert "violates PodSecurity" in error.message


def test_a_form_that_no_pod_has(bench: Bench) -> None:
    error = error_of(bench.run(function={"resources": {"limits": {"memory": "much"}}}))
    assert isinstance(error, ConfigurationError)
    assert "much" in error.message or "quantities" in error.message


def test_a_secret_that_is_not_there(bench: Bench) -> None:
    error = error_of(bench.run(bench.call(secrets=("no-such-secret",))))
    assert isinstance(error, ConfigurationError)
    assert "'no-such-secret'" in error.message


def test_a_pod_is_deleted_by_somebody(bench: Bench) -> None:
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(bench.run)
        bench.cluster.core.delete_namespaced_pod(bench.wait_for_agent(), NAMESPACE)
        error = error_of(running.result(timeout=120))
    assert isinstance(error, TransientError)
    assert "deleted the pod" in error.message
    assert bench.run().ok, "another try works"


def test_a_pod_is_killed_at_once(bench: Bench) -> None:
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(bench.run)
        bench.cluster.core.delete_namespaced_pod(bench.wait_for_agent(), NAMESPACE, grace_period_seconds=0)
        error = error_of(running.result(timeout=120))
    assert isinstance(error, TransientError)


def test_a_pod_is_evicted(bench: Bench) -> None:
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(bench.run)
        name = bench.wait_for_agent()
        eviction = k8s.V1Eviction(metadata=k8s.V1ObjectMeta(name=name))
        bench.cluster.core.create_namespaced_pod_eviction(name, NAMESPACE, eviction)
        error = error_of(running.result(timeout=120))
    assert isinstance(error, TransientError)
    assert "EvictionByEvictionAPI" in error.message


@pytest.mark.long
def test_a_node_is_lost_and_comes_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pods are taken for lost; another try runs when Kubernetes is sure that they are gone."""
    monkeypatch.setattr(follow, "LOST_AFTER_SECONDS", 5.0)
    monkeypatch.setattr(kubernetes, "OLDER_POD_SECONDS", 3.0)
    with bench.hanging_store(), ThreadPoolExecutor() as pool:
        running = pool.submit(bench.run, termination_grace="5s")
        bench.wait_for_agent()
        bench.lose_node()
        error = error_of(running.result(timeout=240))
        assert isinstance(error, TransientError)
        assert "node node1 does not answer" in error.message
        with pytest.raises(ConflictError, match="does not end on node node1"):
            bench.run(termination_grace="1s")
    bench.cluster.servers["kubelet"].start()
    bench.cluster.wait_for_api()
    assert bench.run().ok, "another try works"
