"""The throw-away server of a verification as a second container of the agent's pod.

It is a native sidecar (an init container with `restartPolicy: Always`, Kubernetes 1.29 and newer:
https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/), so that it starts before the agent and ends
with it. Both share a volume with its Unix socket, and nothing else: no port is opened.
"""

from __future__ import annotations

from typing import Any

from mongo_backup.objects.addon import Function
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup.verify.throwaway import SOCKET, SOCKET_VARIABLE, server_options
from mongo_backup_airflow.pods.spec import CONTAINER, merged

SERVER = "mongod"
SOCKET_FOLDER = "/var/run/mongod"
DATA_FOLDER = "/data/db"
DATA_VOLUME = "mongod-data"
"""On the node's disk, unless the function's pod template has a volume of this name."""


def with_server(function: Function, settings: VerificationSettings) -> Function:
    """Return the function with the server beside its agent; what its own pod template says of it wins."""
    if settings.image is None:
        return function
    template = merged(_template(settings), function.pod_template or {})
    return function.model_copy(update={"pod_template": template})


def _template(settings: VerificationSettings) -> dict[str, Any]:
    resources = {name: value for name, value in settings.resources.model_dump().items() if value}
    sockets = {"name": "mongod-socket", "mountPath": SOCKET_FOLDER}
    server = {
        "name": SERVER,
        "image": settings.image,
        "restartPolicy": "Always",
        "command": [settings.mongod or "mongod"],
        "args": server_options(settings, data=DATA_FOLDER, sockets=SOCKET_FOLDER),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",  # why it died is all that is left of its log
        "volumeMounts": [sockets, {"name": DATA_VOLUME, "mountPath": DATA_FOLDER}],
        **({"resources": resources} if resources else {}),
    }
    agent = {
        "name": CONTAINER,
        "env": [{"name": SOCKET_VARIABLE, "value": f"{SOCKET_FOLDER}/{SOCKET}"}],
        "volumeMounts": [sockets],
    }
    return {
        "spec": {
            "volumes": [{"name": "mongod-socket", "emptyDir": {}}, {"name": DATA_VOLUME, "emptyDir": {}}],
            "initContainers": [server],
            "containers": [agent],
        }
    }
