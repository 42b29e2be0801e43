"""What every runner offers, and which one a configuration asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from pydantic import SecretStr

from mongo_backup.agent.contract import Envelope
from mongo_backup.model import Model
from mongo_backup.objects.addon import Function, TaskName
from mongo_backup.objects.configuration import Execution
from mongo_backup.objects.resolved import Objects


@dataclass(frozen=True, kw_only=True)
class StepCall:
    """One step to run.

    :param step: its full name, such as `backup.dump`.
    :param request: what the agent gets.
    :param credentials: the JSON document that `mongo_backup.credentials` describes.
    :param run: the DAG run, `<dag id>/<run id>`.
    :param task: the task within the run, `<task id>[<map index>]`.
    :param alone: start only when no other agent of this run lives any more: what an older try left behind may
        not run beside this one.
    :param secrets: names of Kubernetes Secrets that the step needs; only pods can read them.
    :param labels: words for people who look for what belongs to the step: `configuration`, `session`, `component`.
    :param limit: how long the step may take at most; None: no limit.
    """

    step: str
    request: Model
    credentials: SecretStr
    run: str
    task: str
    alone: bool
    secrets: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    limit: timedelta | None = None
    try_number: int = 1


class Runner(Protocol):
    """Runs one step at a time. A new one for each task."""

    def run(self, call: StepCall) -> Envelope:
        """Run the step to its end and return how it ended; its log goes to the task's log.

        Whatever is raised in here (a timeout, say) the agent has ended when it leaves this method.
        """

    def stop(self) -> None:
        """Ask the running step to undo its marks and end. Safe in a signal handler; returns at once."""


TASKS: dict[str, TaskName] = {
    "backup.dump": "backup",
    "backup.commit_snapshot": "maintain",
    "backup.copy": "maintain",
    "backup.apply_retention": "maintain",
    "backup.hooks_before": "hook",
    "backup.hooks_after": "hook",
    "restore.hooks_before": "hook",
    "restore.hooks_after": "hook",
    "restore.restore": "restore",
    "restore.build_indexes": "restore",
    "restore.verify_restore": "verify",
    "verify.restore_and_compare": "verify",
    "maintain.check": "maintain",
    "maintain.prune": "maintain",
}
"""Which of an addon's functions a step is part of; one that is not named is `control`, short and small."""

LIKE: dict[str, TaskName] = {"backup.identify_secondaries": "backup"}
"""Steps of `control` whose pods are those of another function: the last one before members are locked shows that there
is a node and an image for dumps, which would wait for them while their members are locked."""

VERIFICATION = "verify.restore_and_compare"
"""The step that needs a throw-away server; in a pod that is a container beside the agent's."""
LONG = frozenset(
    {
        "backup.dump",
        "backup.copy",
        "restore.restore",
        "restore.build_indexes",
        "restore.verify_restore",
        "maintain.check",
        "maintain.prune",
        VERIFICATION,
    }
)
"""Steps that may take hours: in pods, no worker waits for them (`execution.deferrable`)."""


LAST = ".finish"
"""How the name of each family's last step ends: on the worker too, it looks for pods that the run has left."""


def function_for(objects: Objects, step: str) -> Function:
    """The addon's function that a step runs as."""
    return objects.addon.spec.function(TASKS.get(step) or LIKE.get(step, "control"))


def runs_in_pod(execution: Execution, step: str) -> bool:
    """Whether the configuration wants this step in a pod."""
    on_worker = execution.control_steps == "worker" and step not in TASKS
    return execution.runner == "kubernetes" and not on_worker


def runner_for(objects: Objects, step: str) -> Runner:
    """Return a new runner of the kind that the configuration asks for."""
    execution = objects.configuration.spec.execution
    in_pod = runs_in_pod(execution, step)
    if execution.runner == "local" or not (in_pod or step.endswith(LAST)):
        from mongo_backup_airflow.runners.local import LocalRunner

        return LocalRunner()
    from mongo_backup_airflow.pods.throwaway import with_server
    from mongo_backup_airflow.runners.kubernetes import KubernetesRunner
    from mongo_backup_airflow.runners.mixed import LastStepRunner

    function, settings = function_for(objects, step), objects.configuration.spec.verification
    pods = KubernetesRunner(
        execution=execution,
        function=with_server(function, settings) if settings and step == VERIFICATION else function,
        deferred=execution.deferrable and step in LONG,
    )
    return pods if in_pod else LastStepRunner(pods=pods)
