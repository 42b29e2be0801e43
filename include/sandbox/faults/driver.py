"""Runs a backup or a restore as its DAG does, without Airflow: tasks in order, tries, teardowns, the last word.

The task that is disturbed runs as agents of its own (`launch`), and so do those after it while the fault lasts: they
may hang and must be ended. The others run in this process, by the same functions. Of Airflow's rules those are kept
that decide the end: a task is tried again when its error allows it; a teardown runs when its setup succeeded; `finish`
always runs and says what was wrong.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mongo_backup.agent.contract import CommitResult, DumpResult, Envelope, LockResult, MembersResult, PrepareResult
from mongo_backup.agent.registry import find_step
from mongo_backup.agent.restore_contract import PlanResult, RestoreResult, VerifyResult
from mongo_backup.errors import ConfigurationError, ExitCode, MongoBackupError
from mongo_backup.model import Model
from mongo_backup_airflow.outcome import what_is_wrong
from sandbox.faults.launch import Launcher
from sandbox.inline import InlineBackup
from sandbox.inline_restore import InlineRestore

TEARDOWN_TRIES = 3
"""20 in Airflow, half a minute apart."""
PAUSE_SECONDS = 0.5


class Disturber:
    """What the driver tells of its progress. This one does nothing."""

    phase: str | None = None
    """The task to disturb; None: none."""
    lasting = False
    """The fault is there until the run has ended."""

    def begin(self) -> None:
        """The task is about to be started for the first time."""

    def tried(self) -> None:
        """A first try of the task has ended without success, or all have ended."""


@dataclass
class Run(ABC):
    """One run.

    :param tries: of an ordinary task.
    """

    launcher: Launcher
    disturber: Disturber = field(default_factory=Disturber)
    tries: int = 2
    states: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    """What each failed task said last."""
    seconds: float = 0.0

    family: ClassVar[str]
    order: ClassVar[tuple[str, ...]]
    mapped: ClassVar[str]
    teardowns: ClassVar[dict[str, str]]
    """Each teardown's setup."""

    @property
    @abstractmethod
    def owner(self) -> str:
        """The run as the journal names it."""

    @abstractmethod
    def request(self, **more: Any) -> Model:
        """The request that a step would get now."""

    @abstractmethod
    def components(self) -> Iterable[str]:
        """What the mapped task runs for."""

    @abstractmethod
    def take(self, task: str, results: list[dict[str, Any]]) -> None:
        """Keep what a task returned for those after it."""

    def more(self, task: str) -> dict[str, Any]:
        """Further fields of a task's request."""
        return {"states": self.states} if task in ("push_metrics", "finish") else {}

    def allowed(self, task: str) -> str | None:
        """Say why a task does not run; None: it does."""
        if task == "finish":
            return None
        if task in self.teardowns:
            setup = self.states.get(self.teardowns[task])
            return None if setup == "success" else "upstream_failed" if setup == "failed" else "skipped"
        if task == "push_metrics":
            return None
        before = [each for each in self.order[: self.order.index(task)] if each not in self.teardowns]
        bad = any(state != "success" for name, state in self.states.items() if name.partition("[")[0] in before)
        return "upstream_failed" if bad else None

    # The run

    def go(self) -> str | None:
        """Run all tasks; return what is wrong with the run, as `finish` would say it, None for a green run."""
        began = time.monotonic()
        for task in self.order:
            if (why_not := self.allowed(task)) is not None:
                self.states[task] = why_not
                continue
            disturbed = task == self.disturber.phase
            if disturbed:
                self.disturber.begin()
            self._instances(task)
            if disturbed:
                self.disturber.tried()
        self.seconds = time.monotonic() - began
        return self.verdict()

    def verdict(self) -> str | None:
        """What is wrong, tasks first, then the words of those that failed."""
        return what_is_wrong(self.states, self.messages)

    def _instances(self, task: str) -> None:
        if task != self.mapped:
            results = [self._attempt(task, task)]
        else:
            components = list(self.components())
            with ThreadPoolExecutor(max_workers=len(components)) as pool:
                futures = [pool.submit(self._attempt, task, f"{task}[{each}]", each) for each in components]
                results = [future.result() for future in futures]
        found = [each for each in results if each is not None]
        if len(found) == len(results):
            self.take(task, found)

    def _attempt(self, task: str, name: str, component: str | None = None) -> dict[str, Any] | None:
        teardown = task in self.teardowns or task == "finish"
        for number in range(1, (TEARDOWN_TRIES if teardown else self.tries) + 1):
            if number > 1:
                time.sleep(PAUSE_SECONDS)
            more = self.more(task) | ({"component": component} if component else {})
            envelope = self._call(task, name, self.request(try_number=number, **more))
            if envelope.ok:
                self.states[name] = "success"
                return envelope.result or {}
            self.messages[name] = envelope.message or "no words"
            if number == 1 and task == self.disturber.phase:
                self.disturber.tried()
            error = envelope.error()
            if isinstance(error, ConfigurationError) or not (teardown or error.retryable):
                break
        self.states[name] = "failed"
        return None

    def _call(self, task: str, name: str, request: Model) -> Envelope:
        step = f"{self.family}.{task}"
        phase = self.disturber.phase
        after = phase is not None and self.order.index(task) > self.order.index(phase)
        if task != phase and not (after and self.disturber.lasting):
            return self._here(step, request)
        alone = task != self.mapped and task not in self.teardowns
        try:
            return self.launcher.run(step=step, request=request, run=self.owner, task=name, alone=alone)
        except MongoBackupError as error:
            return _failed(step, error)

    def _here(self, step: str, request: Model) -> Envelope:
        try:
            result = find_step(step).call()(request, self.launcher.credentials)
        except MongoBackupError as error:
            return _failed(step, error)
        return Envelope(step=step, ok=True, result=result.model_dump(mode="json"))


def _failed(step: str, error: MongoBackupError) -> Envelope:
    code = ExitCode(error.exit_code)
    return Envelope(step=step, ok=False, exit_code=code, error_type=type(error).__name__, message=error.message)


@dataclass
class BackupRun(Run):
    """A backup of a sharded cluster. Requests are those of `InlineBackup`."""

    inline: InlineBackup = None  # type: ignore[assignment]  # always given
    committed: CommitResult | None = None

    family = "backup"
    order = (
        *("prepare", "disable_balancer", "identify_secondaries", "lock_config_server", "lock_secondaries", "dump"),
        *("unlock_secondaries", "unlock_config_server", "enable_balancer"),
        *("commit_snapshot", "apply_retention", "push_metrics", "finish"),
    )
    mapped = "dump"
    teardowns: ClassVar[dict[str, str]] = {
        "unlock_secondaries": "lock_secondaries",
        "unlock_config_server": "lock_config_server",
        "enable_balancer": "disable_balancer",
    }

    @property
    def owner(self) -> str:
        """See `Run`."""
        return self.inline.request().run.owner

    def request(self, **more: Any) -> Model:
        """See `Run`."""
        return self.inline.request(**more)

    def components(self) -> Iterable[str]:
        """See `Run`."""
        return [member.component for member in self.inline.members]

    def allowed(self, task: str) -> str | None:
        """A commit runs in any case, and is skipped where a dump is missing."""
        if task == "commit_snapshot":
            return None if self.inline.members and len(self.inline.dumps) == len(self.inline.members) else "skipped"
        return super().allowed(task)

    def take(self, task: str, results: list[dict[str, Any]]) -> None:
        """See `Run`."""
        keep: dict[str, Callable[[], None]] = {
            "prepare": lambda: setattr(self.inline, "prepared", PrepareResult.model_validate(results[0])),
            "identify_secondaries": lambda: setattr(
                self.inline, "members", MembersResult.model_validate(results[0]).members
            ),
            "lock_secondaries": lambda: setattr(self.inline, "lock", LockResult.model_validate(results[0])),
            "dump": lambda: setattr(self.inline, "dumps", tuple(map(DumpResult.model_validate, results))),
            "commit_snapshot": lambda: setattr(self, "committed", CommitResult.model_validate(results[0])),
        }
        keep.get(task, lambda: None)()


@dataclass
class RestoreRun(Run):
    """A restore of a sharded cluster. Requests are those of `InlineRestore`."""

    inline: InlineRestore = None  # type: ignore[assignment]  # always given

    family = "restore"
    order = (
        *("plan_restore", "disable_balancer", "drop_existing", "restore", "restore_metadata", "build_indexes"),
        *("verify_restore", "enable_balancer", "push_metrics", "finish"),
    )
    mapped = "restore"
    teardowns: ClassVar[dict[str, str]] = {"enable_balancer": "disable_balancer"}

    @property
    def owner(self) -> str:
        """See `Run`."""
        return self.inline.request().run.owner

    def request(self, **more: Any) -> Model:
        """See `Run`."""
        number = more.pop("try_number", 1)
        return self.inline.request(**more).model_copy(update={"try_number": number})

    def components(self) -> Iterable[str]:
        """See `Run`."""
        return list(self.inline.plan.components) if self.inline.plan else []

    @property
    def touched(self) -> bool:
        """Whether the target's data may have been touched: dropping is the first step that does."""
        return self.states.get("drop_existing") in ("success", "failed")

    def take(self, task: str, results: list[dict[str, Any]]) -> None:
        """See `Run`."""
        keep: dict[str, Callable[[], None]] = {
            "plan_restore": lambda: setattr(self.inline, "plan", PlanResult.model_validate(results[0])),
            "restore": lambda: setattr(self.inline, "restored", tuple(map(RestoreResult.model_validate, results))),
            "verify_restore": lambda: setattr(self.inline, "verified", VerifyResult.model_validate(results[0])),
        }
        keep.get(task, lambda: None)()
