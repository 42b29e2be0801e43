"""The pod of one step, as a plain document: what Pod Security `restricted` asks for, and nothing secret.

Request and credentials reach the agent as files of Secrets or, the request, as an environment variable; the result
is the container's termination message, which needs no sidecar and no right to run programs in pods
(https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any

from mongo_backup.agent.contract import REQUEST_VARIABLE, RESULT_BYTES_VARIABLE
from mongo_backup.credentials import CREDENTIALS_VARIABLE
from mongo_backup.objects.addon import Function
from mongo_backup.objects.configuration import Execution
from mongo_backup_airflow.runners.base import StepCall

CONTAINER = "base"
"""Name of the agent's container: what KubernetesPodOperator takes it for."""
TERMINATION_LOG = "/dev/termination-log"
TERMINATION_BYTES = 4096
"""What Kubernetes keeps of a termination message."""
LABEL_PREFIX = "mongo-backup/"
AGENT_USER = 10001
"""As in `include/image/Dockerfile`."""

CREDENTIALS_FOLDER = "/var/run/secrets/mongo-backup"
RUN_FOLDER = f"{CREDENTIALS_FOLDER}/run"
CREDENTIALS_FILE = "credentials.json"
REQUEST_FILE = "request.json"
LARGEST_VARIABLE = 100_000
"""Bytes of a request that goes by environment: Linux takes 128 KiB for one variable (execve(2), MAX_ARG_STRLEN)."""

DEADLINE_MARGIN = timedelta(minutes=5)
NO_LIMIT = timedelta(days=2)
"""A step without a time limit is ended by Kubernetes after this, should nobody else do it."""

PROGRAM = ["mongo-backup", "agent"]

VOLUME_KINDS = frozenset({"csi", "emptyDir", "ephemeral", "hostPath", "nfs", "persistentVolumeClaim"})
"""Where a volume with room to write may lie."""


def digest(text: str) -> str:
    """A label's value for any text: run ids hold characters that labels may not."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def label_value(text: str) -> str:
    """A readable label's value: what Kubernetes does not allow is replaced."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def own_labels(call: StepCall) -> dict[str, str]:
    """Labels by which the runner finds its pods again, and people find theirs."""
    named = {
        "run": digest(call.run),
        "task": digest(call.task),
        "step": call.step,
        "try": str(call.try_number),
        **call.labels,
    }
    return {"app.kubernetes.io/name": "mongo-backup-agent"} | {
        LABEL_PREFIX + name: label_value(value) for name, value in named.items() if value
    }


def pod_name(call: StepCall) -> str:
    """What the pod's name begins with; a random end is added."""
    dag = call.run.partition("/")[0]
    return re.sub(r"[^a-z0-9]+", "-", f"{dag}-{call.task}".lower()).strip("-")[:50].strip("-")


def by_environment(call: StepCall) -> bool:
    """Whether the request is small enough for an environment variable."""
    return len(call.request.model_dump_json().encode()) <= LARGEST_VARIABLE


def run_secret_data(call: StepCall) -> dict[str, str]:
    """What the Secret made for the run holds: nothing where all credentials are Secrets of their own."""
    document = call.credentials.get_secret_value()
    data = {} if document in ("", "{}") else {CREDENTIALS_FILE: document}
    if not by_environment(call):
        data[REQUEST_FILE] = call.request.model_dump_json()
    return data


def agent_pod(
    call: StepCall, *, execution: Execution, function: Function, run_secret: str, namespace: str | None = None
) -> dict[str, Any]:
    """Return the pod of a step.

    What wins over what: the runner's own needs, then the function's fields, then its pod template, then the built-in
    defaults. The run's Secret gets its name here and is made when the pod is there, as the pod's property.

    :param run_secret: name of the Secret made for the run.
    """
    pod = merged(_defaults(execution), function.pod_template or {})
    pod = merged(pod, _from_function(function, execution))
    return merged(pod, _needs(call, execution, function, run_secret, namespace))


def _defaults(execution: Execution) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": int(execution.termination_grace.total_seconds()),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": AGENT_USER,
                "runAsGroup": AGENT_USER,
                "fsGroup": AGENT_USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": CONTAINER,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _from_function(function: Function, execution: Execution) -> dict[str, Any]:
    """The function's own fields, as far as they are set."""
    account = function.service_account or execution.service_account
    spec: dict[str, Any] = {
        "serviceAccountName": account,
        "nodeSelector": function.node_selector,
        "tolerations": list(function.tolerations),
        "affinity": function.affinity,
        "securityContext": function.security_context,
        "imagePullSecrets": [{"name": name} for name in function.image_pull_secrets],
        "containers": [
            _set(
                {
                    "imagePullPolicy": function.image_pull_policy,
                    "resources": _set(function.resources.model_dump()),
                    "securityContext": function.container_security_context,
                }
            )
        ],
    }
    metadata = {"labels": function.labels, "annotations": function.annotations}
    return {"metadata": _set(metadata), "spec": _set(spec)}


def _needs(
    call: StepCall, execution: Execution, function: Function, run_secret: str, namespace: str | None
) -> dict[str, Any]:
    """What the runner relies on."""
    given = [("run", run_secret, RUN_FOLDER)] if run_secret_data(call) else []
    given += [(f"secret-{n}", name, secret_folder(name)) for n, name in enumerate(call.secrets)]
    arguments = [*PROGRAM, call.step, "--result", TERMINATION_LOG]
    environment = {RESULT_BYTES_VARIABLE: str(TERMINATION_BYTES)}
    if given:
        environment[CREDENTIALS_VARIABLE] = CREDENTIALS_FOLDER
    if by_environment(call):
        environment[REQUEST_VARIABLE] = call.request.model_dump_json()
    else:
        arguments += ["--request", f"{RUN_FOLDER}/{REQUEST_FILE}"]
    limit = (call.limit or NO_LIMIT) + execution.start_timeout + execution.termination_grace + DEADLINE_MARGIN
    return {
        "metadata": _set({"labels": own_labels(call), "namespace": namespace}),
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(limit.total_seconds()),
            "volumes": [
                {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}} for name, secret, _ in given
            ],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": function.image,
                    "command": arguments[:1],
                    "args": arguments[1:],
                    "env": [{"name": name, "value": value} for name, value in environment.items()],
                    "terminationMessagePath": TERMINATION_LOG,
                    "terminationMessagePolicy": "File",
                    "volumeMounts": [
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the pod's own, empty
                        *({"name": name, "mountPath": path, "readOnly": True} for name, _, path in given),
                    ],
                }
            ],
        },
    }


def secret_folder(name: str) -> str:
    """Where the agent finds the Secret of that name: as `mongo_backup.credentials` says."""
    return f"{CREDENTIALS_FOLDER}/secret/{name}"


def _set(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what is set."""
    return {name: value for name, value in values.items() if value not in (None, {}, [], "")}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid upon it: objects field by field; lists of things with names thing by thing.

    A container of `over` without a name is the first one. A volume of another kind takes the other's place.
    """
    result = deepcopy(dict(base))
    for key, value in over.items():
        former = result.get(key)
        if isinstance(value, Mapping) and isinstance(former, Mapping):
            result[key] = merged(former, value)
        elif isinstance(value, list) and isinstance(former, list):
            result[key] = _merged_lists(former, value)
        else:
            result[key] = deepcopy(value)
    return result


def _merged_lists(base: list[Any], over: Iterable[Any]) -> list[Any]:
    result = list(base)
    for number, value in enumerate(over):
        if not isinstance(value, Mapping):
            return deepcopy(list(over))  # plain values: `drop: [ALL]`
        name = value.get("name")
        same = number if name is None else next((n for n, each in enumerate(result) if each.get("name") == name), None)
        if same is not None and same < len(result) and _is_thing(result[same]):
            result[same] = deepcopy(dict(value)) if _is_elsewhere(result[same], value) else merged(result[same], value)
        else:
            result.append(deepcopy(value))
    return result


def _is_thing(value: object) -> bool:
    return isinstance(value, Mapping) and "name" in value


def _is_elsewhere(volume: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two volumes of one name lie in different places: Kubernetes takes one place, such as `emptyDir`."""
    return bool(volume.keys() & VOLUME_KINDS) and bool(other.keys() & VOLUME_KINDS - volume.keys())
