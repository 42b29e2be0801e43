"""From the state of a pod to how its step ended: the agent's own result document, or a clear reason for its lack."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.cncf.kubernetes.utils.pod_manager import detect_pod_terminate_early_issues

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import (
    ConfigurationError,
    ExitCode,
    InterruptedByRequestError,
    MongoBackupError,
    PermanentError,
    TransientError,
)
from mongo_backup_airflow.pods.spec import CONTAINER
from mongo_backup_airflow.pods.throwaway import SERVER

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

LONGEST_LAST_WORDS = 300
KILLED = 137
CANNOT_START = frozenset({"ContainerCannotRun", "StartError", "RunContainerError"})
CANNOT_CREATE = frozenset({"CreateContainerConfigError", "CreateContainerError", "InvalidImageName"})
WRONG_IMAGE = frozenset({"InvalidImageName", "ErrImageNeverPull"})


def container_status(pod: Any) -> Any | None:
    """The state of the agent's container, None before there is one."""
    statuses = pod.status.container_statuses or []
    return next((each for each in statuses if each.name == CONTAINER), None)


def terminated(pod: Any) -> Any | None:
    """The end of the agent's container, None before it."""
    status = container_status(pod)
    return status.state.terminated if status is not None and status.state else None


def has_ended(pod: Any) -> bool:
    """Whether nothing of the agent runs any more."""
    return pod.status.phase in ("Succeeded", "Failed") or terminated(pod) is not None


def is_running(pod: Any) -> bool:
    """Whether the agent has started."""
    status = container_status(pod)
    return bool(status is not None and status.state and (status.state.running or status.state.terminated))


def why_not_starting(pod: Any) -> MongoBackupError | None:
    """A reason for which a pod that is still pending will not start however long one waits."""
    statuses = [*_beside(pod), *(pod.status.container_statuses or [])]
    return next((error for each in statuses if (error := _why_not(each)) is not None), None)


def _beside(pod: Any) -> list[Any]:
    """The states of containers that start before the agent's, such as a throw-away server's."""
    return list(pod.status.init_container_statuses or [])


def _why_not(status: Any) -> MongoBackupError | None:
    """Why one container will not start."""
    waiting = status.state.waiting if status.state else None
    correct = "correct " + ("verification.image" if status.name == SERVER else "the addon's function")
    if waiting is not None and waiting.reason in WRONG_IMAGE:
        return ConfigurationError(f"image {status.image!r}: {waiting.reason}: {waiting.message}; {correct}")
    if waiting is not None and waiting.reason in CANNOT_CREATE:
        return ConfigurationError(f"the container {status.name} cannot be made: {waiting.reason}: {waiting.message}")
    last = _last_end(status)
    if status.name != CONTAINER and last is not None and last.reason in CANNOT_START:
        return ConfigurationError(
            f"image {status.image!r} cannot run {status.name}: {last.reason}: {_one_line(last.message)}; {correct}"
        )
    alone = SimpleNamespace(status=SimpleNamespace(container_statuses=[status]))
    if message := detect_pod_terminate_early_issues(cast("V1Pod", alone)):
        return TransientError(f"image {status.image!r} cannot be pulled: {_one_line(message)}; {correct}")
    return None


def _last_end(status: Any) -> Any | None:
    """How a container ended the last time, None if it never did."""
    states = (status.state, status.last_state)
    return next((state.terminated for state in states if state is not None and state.terminated is not None), None)


def why_still_pending(pod: Any, warnings: list[str]) -> str:
    """What a pod is waiting for, in words."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status != "True":
            return f"no node takes it: {condition.message or condition.reason}"
    status = container_status(pod)
    if status is not None and status.state and status.state.waiting and status.state.waiting.message:
        return f"{status.state.waiting.reason}: {status.state.waiting.message}"
    return warnings[-1] if warnings else "Kubernetes does not say why"


def how_it_ended(pod: Any, *, step: str, asked: bool, logged: str | None = None) -> Envelope:
    """How the step ended.

    :param pod: the last that was seen of it.
    :param asked: this process itself asked the pod to end.
    :param logged: the result document from the log, where the log has one.
    """
    envelope = _how_it_ended(pod, step=step, asked=asked, logged=logged)
    if envelope.ok or not (died := _died_beside(pod)):
        return envelope
    return envelope.model_copy(update={"message": f"{envelope.message}; {died}"})


def _how_it_ended(pod: Any, *, step: str, asked: bool, logged: str | None) -> Envelope:
    envelope = agents_own(pod, step=step, logged=logged)
    disturbed = None if asked else _disturbance(pod)
    if envelope is not None and (envelope.ok or disturbed is None):
        return envelope
    if asked and envelope is None:
        return failed(
            step, InterruptedByRequestError("the agent was asked to end and was killed after its grace period")
        )
    return failed(step, disturbed or _without_result(pod))


def agents_own(pod: Any, *, step: str, logged: str | None = None) -> Envelope | None:
    """The result document, if it is there, whole, and says what the exit code says."""
    end = terminated(pod)
    if end is None or not end.message:
        return None
    try:
        found = Envelope.model_validate_json(end.message)
        if found.in_log:
            found = Envelope.model_validate_json(logged or "")
    except ValueError:
        return None
    return found if found.step == step and found.ok == (end.exit_code == 0) else None


def failed(step: str, error: MongoBackupError) -> Envelope:
    """A result document for an error that the agent could not write itself."""
    return Envelope(
        step=step, ok=False, exit_code=error.exit_code, error_type=type(error).__name__, message=error.message
    )


def _disturbance(pod: Any) -> MongoBackupError | None:
    """What befell the pod from outside: another try makes sense whatever the agent said."""
    node = pod.spec.node_name or "its node"
    if pod.status.reason == "DeadlineExceeded":
        return PermanentError("the pod was ended after its activeDeadlineSeconds: the step's time limit is over")
    if pod.status.reason == "Evicted":
        return TransientError(
            f"the pod was evicted from {node}: {_one_line(pod.status.message)}; "
            "raise resources.requests of the addon's function if it happens again"
        )
    for condition in pod.status.conditions or []:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return TransientError(f"the pod was taken off {node} ({condition.reason}): {_one_line(condition.message)}")
    end = terminated(pod)
    if end is not None and end.reason == "OOMKilled":
        return TransientError(
            f"the agent was killed for want of memory (OOMKilled, limit {_memory_limit(pod)}): "
            "raise resources.limits.memory of the addon's function"
        )
    if pod.metadata.deletion_timestamp is not None and (end is None or end.exit_code != 0):
        return TransientError("somebody or something else deleted the pod")
    return None


def _without_result(pod: Any) -> MongoBackupError:
    end = terminated(pod)
    if end is None:
        detail = _one_line(f"{pod.status.reason or ''} {pod.status.message or ''}") or f"phase {pod.status.phase}"
        return TransientError(f"the pod ended before the agent started: {detail}")
    if end.reason in CANNOT_START:
        return ConfigurationError(f"the image cannot run the agent: {end.reason}: {_one_line(end.message)}")
    if end.exit_code == KILLED:
        return TransientError("the agent was killed (SIGKILL): by its node, for want of memory, or by a person")
    return _as_the_code_says(end.exit_code)


def _as_the_code_says(code: int) -> MongoBackupError:
    envelope = Envelope(
        step="",
        ok=False,
        exit_code=ExitCode(code) if code in set(ExitCode) and code else ExitCode.UNEXPECTED,
        message=f"the agent ended with exit status {code} and without a valid result: see the log above",
    )
    return envelope.error()


def _died_beside(pod: Any) -> str:
    """What befell the containers beside the agent's while it ran, in words: only those that had to start again."""
    return "; ".join(_words_of_end(pod, each) for each in _beside(pod) if each.restart_count)


def _words_of_end(pod: Any, status: Any) -> str:
    end = status.last_state.terminated if status.last_state else None
    how = f"{end.reason}, exit status {end.exit_code}" if end else "for an unknown reason"
    memory = f", limit {_memory_limit(pod, status.name)}" if end and end.reason == "OOMKilled" else ""
    said = _one_line(end.message)[-LONGEST_LAST_WORDS:] if end and end.message else ""
    return f"the container {status.name} died ({how}{memory})" + (f": {said}" if said else "")


def _memory_limit(pod: Any, name: str = CONTAINER) -> str:
    containers = [*(pod.spec.init_containers or []), *pod.spec.containers]
    container = next((each for each in containers if each.name == name), None)
    limits = (container.resources.limits or {}) if container is not None and container.resources else {}
    return str(limits.get("memory", "none of its own"))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
