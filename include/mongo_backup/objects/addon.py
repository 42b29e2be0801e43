"""`kind: Addon`: which function does which task, for a range of MongoDB versions."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from mongo_backup.model import Model
from mongo_backup.objects.base import KubernetesStyleObject

Engine = Literal["native", "mongodump"]
TaskName = Literal["control", "backup", "restore", "verify", "maintain", "hook"]

DEFAULT_IMAGE = "mongo-backup-agent:0.1.0"


_BOUND = re.compile(r"(>=|<=|==|>|<)\s*(\d+(?:\.\d+)*)")
_BOUNDS = re.compile(rf"\s*{_BOUND.pattern}\s*(,\s*{_BOUND.pattern}\s*)*")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}


def check_versions(text: str) -> str:
    """Return the range of versions if it is one.

    :raises ValueError: it is none.
    """
    if not _BOUNDS.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no range of versions: write bounds, such as '>=5.0,<9'")
    return text


def _numbers(version: str, length: int = 0) -> tuple[int, ...]:
    """`6.0.5-rc1` as (6, 0, 5), filled up with zeros."""
    numbers = [int(part) for part in version.partition("-")[0].split(".") if part.isdigit()]
    return tuple(numbers + [0] * (length - len(numbers)))


class Resources(Model):
    """Kubernetes requests and limits, as in a pod."""

    requests: dict[str, str] = Field(default_factory=dict)
    """What the pod is sure to get, such as `{cpu: 500m, memory: 300Mi}`."""
    limits: dict[str, str] = Field(default_factory=dict)
    """What the pod never gets more of."""


class Function(Model):
    """What runs a task: the image, the engine, their settings."""

    image: str = DEFAULT_IMAGE
    """The agent image; pin it, by digest where you can."""
    engine: Engine = "native"
    """`native` reads at the cluster time; `mongodump` runs the official tools and needs `consistency: locked`."""
    args: tuple[str, ...] = ()
    """Further arguments for mongodump and mongorestore; the native engine takes none."""
    threads: int = Field(default=2, ge=1, le=16)
    """Collections read or written side by side."""
    resources: Resources = Resources()
    """Of the pods that run the task."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """None: what Kubernetes does for the image's name."""
    image_pull_secrets: tuple[str, ...] = ()
    """Names of Secrets for the registry, in the namespace of the pods."""
    service_account: str | None = None
    """Wins over `execution.service_account`."""
    node_selector: dict[str, str] = Field(default_factory=dict)
    """Labels that a node must have."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """As in a pod."""
    affinity: dict[str, Any] | None = None
    """As in a pod."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Further labels of the pods."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations of the pods."""
    security_context: dict[str, Any] | None = None
    """As in a pod (`spec.securityContext`); single fields win over the built-in ones, which are `restricted`."""
    container_security_context: dict[str, Any] | None = None
    """As in a container; single fields win over the built-in ones."""
    pod_template: dict[str, Any] | None = None
    """A pod in Kubernetes' own form, the agent's container first; the fields above and what the runner sets win."""


class AddonSpec(Model):
    """Functions by task."""

    versions: Annotated[str, AfterValidator(check_versions)] = ">=4.2"
    """MongoDB versions that it is for, such as `>=5.0,<9`."""
    functions: dict[TaskName, Function] = Field(default_factory=dict)
    """A task that is not named is done by the built-in function."""

    def fits(self, server_version: str) -> bool:
        """Whether it is for servers of this version (`buildInfo.version`)."""
        found = _numbers(server_version)
        for sign, bound in _BOUND.findall(self.versions):
            length = max(len(found), bound.count(".") + 1)
            if not _COMPARE[sign](_numbers(server_version, length), _numbers(bound, length)):
                return False
        return True

    def function(self, task: TaskName) -> Function:
        """The function for a task, the built-in one where none is named."""
        return self.functions.get(task, Function())


class Addon(KubernetesStyleObject):
    """How tasks are done."""

    kind: Literal["Addon"] = "Addon"
    """`Addon`."""
    spec: AddonSpec = AddonSpec()
    """Functions by task, for a range of versions."""


def builtin_addon() -> Addon:
    """The addon `mongodb` that needs no configuration."""
    return Addon.model_validate({"kind": "Addon", "metadata": {"name": "mongodb"}})
