"""What every runner offers, and which one a configuration asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.objects.configuration import Execution


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
    """

    step: str
    request: Model
    credentials: SecretStr
    run: str
    task: str
    alone: bool


class Runner(Protocol):
    """Runs one step at a time. A new one for each task."""

    def run(self, call: StepCall) -> Envelope:
        """Run the step to its end and return how it ended; its log goes to the task's log.

        Whatever is raised in here (a timeout, say) the agent has ended when it leaves this method.
        """

    def stop(self) -> None:
        """Ask the running step to undo its marks and end. Safe in a signal handler; returns at once."""


def check_runner(execution: Execution) -> None:
    """Refuse a configuration that asks for a runner which is not there.

    :raises ConfigurationError: with the way out in its text.
    """
    if execution.runner != "local":
        raise ConfigurationError(
            f"spec.execution.runner: {execution.runner} is not available in this version: write `runner: local`"
        )


def runner_for(execution: Execution) -> Runner:
    """Return a new runner of the kind that the configuration asks for.

    :raises ConfigurationError: see `check_runner`.
    """
    check_runner(execution)
    from mongo_backup_airflow.runners.local import LocalRunner

    return LocalRunner()
