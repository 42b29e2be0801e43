"""Starts the agent of a step with the product's own local runner, as a task does: guard, leash, pipes and all."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import SecretStr

from mongo_backup.agent.contract import Envelope
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ExitCode
from mongo_backup.model import Model
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.local import LocalRunner
from sandbox.objects import credentials_document

DETOUR = (sys.executable, "-P", "-m", "sandbox.faults.detour", "agent")
GRACE_SECONDS = 15.0
"""What an agent that is asked to end has for its undo: 60 s in a task."""


@dataclass(frozen=True)
class Launcher:
    """Runs steps as processes.

    :param before: put before the agent's command line.
    :param limit_seconds: a step that takes longer is ended, as by a task's `execution_timeout`.
    :param separate: each step gets a process of its own that has the runner, as a task of Airflow is one: it can be
        killed.
    """

    credentials: Credentials
    limit_seconds: float = 60.0
    before: tuple[str, ...] = ()
    separate: bool = False
    tasks: list[subprocess.Popen[str]] = field(default_factory=list)
    """The separate processes."""

    def run(self, *, step: str, request: Model, run: str, task: str, alone: bool) -> Envelope:
        """Run one step to its end, or end it after the limit."""
        document = credentials_document(self.credentials)
        if self.separate:
            said = {"step": step, "request": request.model_dump_json(), "run": run, "task": task, "alone": alone}
            return self._run_separately({**said, "credentials": document})
        runner = LocalRunner(grace_seconds=GRACE_SECONDS, agent=(*self.before, *DETOUR))
        call = StepCall(step=step, request=request, credentials=SecretStr(document), run=run, task=task, alone=alone)
        return self._in_time(step, runner.stop, lambda: runner.run(call))

    def _in_time(self, step: str, stop: Callable[[], None], act: Callable[[], Envelope]) -> Envelope:
        over = threading.Event()

        def end() -> None:
            over.set()
            stop()

        timer = threading.Timer(self.limit_seconds, end)
        timer.start()
        try:
            envelope = act()
        finally:
            timer.cancel()
        if over.is_set() and not envelope.ok:
            words = f"{step} was ended after its time limit; {envelope.message}"
            return envelope.model_copy(update={"message": words, "exit_code": ExitCode.INTERRUPTED})
        return envelope

    def _run_separately(self, call: dict[str, object]) -> Envelope:
        step = str(call["step"])
        task = subprocess.Popen(
            [sys.executable, "-m", "sandbox.faults.task"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.tasks.append(task)

        def act() -> Envelope:
            answer, _ = task.communicate(json.dumps(call))
            if task.returncode == 0:
                return Envelope.model_validate_json(answer)
            words = f"the task's process ended with status {task.returncode}"
            return Envelope(step=step, ok=False, exit_code=ExitCode.TRANSIENT, error_type="TaskDied", message=words)

        return self._in_time(step, task.terminate, act)


class LogCatcher(logging.Handler):
    """Keeps what agents log while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.lines.append(f"{record.threadName} {record.levelname} {record.getMessage()}")

    def __enter__(self) -> LogCatcher:
        logger = logging.getLogger("mongo_backup.agent")
        logger.addHandler(self)
        logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("mongo_backup.agent").removeHandler(self)
