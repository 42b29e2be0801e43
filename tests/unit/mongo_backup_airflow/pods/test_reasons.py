"""What each end of a pod means. The forms are those that the test cluster gave (`tests/kubernetes`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from kubernetes.client import ApiClient

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import ConfigurationError, ExitCode, PermanentError, TransientError
from mongo_backup_airflow.pods.reasons import has_ended, how_it_ended, why_not_starting, why_still_pending

STEP = "backup.dump"


class Reply:
    """What the client makes models of."""

    def __init__(self, document: dict[str, Any]) -> None:
        import json

        self.data = json.dumps(document)


def pod(*, phase: str = "Failed", state: dict[str, Any] | None = None, deleted: bool = False, **status: Any) -> Any:
    """A V1Pod in this state."""
    statuses = [{"name": "base", "image": "agent:1", "imageID": "", "ready": False, "restartCount": 0, "state": state}]
    document = {
        "metadata": {"name": "p", "deletionTimestamp": dt.datetime.now(dt.UTC).isoformat() if deleted else None},
        "spec": {
            "nodeName": "node7",
            "containers": [{"name": "base", "resources": {"limits": {"memory": "64Mi"}}}],
            "initContainers": [{"name": "mongod", "resources": {"limits": {"memory": "1Gi"}}}],
        },
        "status": {"phase": phase, "containerStatuses": statuses if state else None, **status},
    }
    return ApiClient().deserialize(Reply(document), "V1Pod")  # type: ignore[arg-type]


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "message": message, "reason": reason}}


def result(code: int = 0, **more: Any) -> str:
    return Envelope(step=STEP, ok=code == 0, exit_code=ExitCode(code), **more).model_dump_json()


def test_the_agents_own_result() -> None:
    envelope = how_it_ended(pod(phase="Succeeded", state=ended(0, result(result={"a": 1}))), step=STEP, asked=False)
    assert (envelope.ok, envelope.result) == (True, {"a": 1})
    envelope = how_it_ended(pod(state=ended(15, result(15, message="held"))), step=STEP, asked=False)
    assert (envelope.ok, envelope.exit_code, envelope.message) == (False, ExitCode.CONFLICT, "held")


@pytest.mark.parametrize(
    "message", ["", "{", result(), Envelope(step="other", ok=False, exit_code=13).model_dump_json()]
)
def test_a_result_that_does_not_fit_is_a_failure(message: str) -> None:
    envelope = how_it_ended(pod(state=ended(13, message)), step=STEP, asked=False)
    assert not envelope.ok
    assert envelope.exit_code == ExitCode.PERMANENT
    assert "without a valid result" in (envelope.message or "")


def test_success_without_a_result_is_a_failure() -> None:
    envelope = how_it_ended(pod(phase="Succeeded", state=ended(0)), step=STEP, asked=False)
    assert not envelope.ok
    assert envelope.exit_code == ExitCode.UNEXPECTED


INTERRUPTED = ended(130, result(130, message="ended by SIGTERM"))
TAKEN = [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "node is away"}]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(state=ended(137, reason="OOMKilled")), "want of memory (OOMKilled, limit 64Mi)"),
        (pod(state=ended(137)), "SIGKILL"),
        (pod(state=INTERRUPTED, reason="Evicted", message="low on memory"), "evicted from node7: low on memory"),
        (pod(state=INTERRUPTED, conditions=TAKEN), "taken off node7 (DeletionByTaintManager): node is away"),
        (pod(state=INTERRUPTED, deleted=True), "somebody or something else deleted the pod"),
        (pod(phase="Running", deleted=True), "deleted the pod"),
        (pod(reason="NodeShutdown", message="bye"), "before the agent started: NodeShutdown bye"),
    ],
)
def test_what_befalls_a_pod_is_tried_again(found: Any, words: str) -> None:
    envelope = how_it_ended(found, step=STEP, asked=False)
    error = envelope.error()
    assert isinstance(error, TransientError), error
    assert words in error.message


def test_a_pod_that_this_task_ended_itself_was_interrupted() -> None:
    envelope = how_it_ended(pod(state=INTERRUPTED, deleted=True), step=STEP, asked=True)
    assert envelope.exit_code == ExitCode.INTERRUPTED
    envelope = how_it_ended(pod(state=ended(137), deleted=True), step=STEP, asked=True)
    assert envelope.exit_code == ExitCode.INTERRUPTED


def test_success_before_a_disturbance_is_success() -> None:
    envelope = how_it_ended(
        pod(phase="Succeeded", state=ended(0, result()), deleted=True, conditions=TAKEN), step=STEP, asked=False
    )
    assert envelope.ok


def test_ends_that_stay_as_they_are() -> None:
    found = pod(reason="DeadlineExceeded", message="active longer than deadline")
    assert isinstance(how_it_ended(found, step=STEP, asked=False).error(), PermanentError)
    found = pod(state=ended(128, "exec: no such file", "StartError"))
    error = how_it_ended(found, step=STEP, asked=False).error()
    assert isinstance(error, ConfigurationError)
    assert "exec: no such file" in error.message


def waiting(reason: str, message: str) -> Any:
    return pod(phase="Pending", state={"waiting": {"reason": reason, "message": message}})


def test_pods_that_will_never_start() -> None:
    assert isinstance(why_not_starting(waiting("InvalidImageName", "bad name")), ConfigurationError)
    assert isinstance(why_not_starting(waiting("ErrImageNeverPull", "not here")), ConfigurationError)
    assert isinstance(why_not_starting(waiting("CreateContainerConfigError", "runs as root")), ConfigurationError)
    error = why_not_starting(waiting("ErrImagePull", "manifest unknown"))
    assert isinstance(error, TransientError)
    assert "agent:1" in error.message
    assert "manifest unknown" in error.message


def test_pods_that_may_yet_start() -> None:
    assert why_not_starting(waiting("ContainerCreating", "")) is None
    assert why_not_starting(waiting("ErrImagePull", "toomanyrequests: rate limit")) is None
    assert why_not_starting(pod(phase="Pending")) is None
    conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    assert why_still_pending(pod(phase="Pending", conditions=conditions), []) == "no node takes it: 0/3 nodes"
    assert why_still_pending(pod(phase="Pending"), ["FailedMount: x"]) == "FailedMount: x"


def test_a_sidecar_that_goes_on_does_not_hold_up_the_step() -> None:
    assert has_ended(pod(phase="Running", state=ended(0, result())))
    assert not has_ended(pod(phase="Running", state={"running": {}}))


def test_a_large_result_is_in_the_log() -> None:
    found = pod(phase="Succeeded", state=ended(0, result(in_log=True)))
    envelope = how_it_ended(found, step=STEP, asked=False, logged=result(result={"many": 1}))
    assert (envelope.ok, envelope.result) == (True, {"many": 1})
    for lost in (None, result()[:-5], result(13)):
        assert not how_it_ended(found, step=STEP, asked=False, logged=lost).ok


def beside(state: dict[str, Any], *, last: dict[str, Any] | None = None, restarts: int = 0) -> list[dict[str, Any]]:
    """The status of a throw-away server beside the agent."""
    return [
        {
            "name": "mongod",
            "image": "mongo:6",
            "imageID": "",
            "ready": False,
            "restartCount": restarts,
            "state": state,
            "lastState": last,
        }
    ]


INITIALIZING = {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("state", "last", "kind", "words"),
    [
        ({"waiting": {"reason": "ErrImageNeverPull", "message": "no"}}, None, ConfigurationError, "'mongo:6'"),
        ({"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}, None, TransientError, "unknown"),
        ({"waiting": {"reason": "CreateContainerConfigError", "message": "root"}}, None, ConfigurationError, "mongod"),
        (ended(128, "no such file", "StartError"), None, ConfigurationError, "cannot run mongod: StartError"),
        (
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
            ended(128, "no such file", "StartError"),
            ConfigurationError,
            "no such file",
        ),
    ],
)
def test_a_server_beside_the_agent_that_will_never_start(
    state: dict[str, Any], last: dict[str, Any] | None, kind: type[Exception], words: str
) -> None:
    found = pod(phase="Pending", state=INITIALIZING, initContainerStatuses=beside(state, last=last))
    error = why_not_starting(found)
    assert isinstance(error, kind)
    assert words in str(error)
    assert "verification.image" in str(error) or "cannot be made" in str(error)


def test_a_server_beside_the_agent_that_died() -> None:
    """Said of a step that failed: the server's own end is the cause. It began anew, with what was left of its data."""
    statuses = beside({"running": {}}, last=ended(137, "the end of its log", "OOMKilled"), restarts=1)
    failure = ended(12, result(12, message="the throw-away server died"))
    envelope = how_it_ended(pod(state=failure, initContainerStatuses=statuses), step=STEP, asked=False)
    assert envelope.exit_code == ExitCode.TRANSIENT
    assert envelope.message == (
        "the throw-away server died; the container mongod died (OOMKilled, exit status 137, limit 1Gi): "
        "the end of its log"
    )
    good = pod(phase="Succeeded", state=ended(0, result()), initContainerStatuses=statuses)
    assert how_it_ended(good, step=STEP, asked=False).ok
    alive = pod(state=failure, initContainerStatuses=beside({"running": {}}))
    assert how_it_ended(alive, step=STEP, asked=False).message == "the throw-away server died"
