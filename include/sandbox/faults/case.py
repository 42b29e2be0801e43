"""One case: a run is disturbed at one moment in one way, and judged."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable

import psutil
from pydantic import ConfigDict, Field
from pymongo.errors import PyMongoError

from mongo_backup.connection import Connector
from mongo_backup.errors import MongoBackupError
from mongo_backup.locks.watch import release_expired
from mongo_backup.model import Model
from mongo_backup.namespaces import JOURNAL_COLLECTION, JOURNAL_DB
from sandbox.cluster import CONFIG
from sandbox.faults.agents import alive
from sandbox.faults.driver import BackupRun, Disturber, RestoreRun, Run
from sandbox.faults.judge import (
    complete_sets,
    data_of,
    lock_left,
    open_repository,
    restic_locks,
    unreadable,
    what_is_left,
)
from sandbox.faults.kinds import KINDS, Fault
from sandbox.faults.launch import Launcher, LogCatcher
from sandbox.faults.moments import MOMENTS, Moment
from sandbox.faults.proxy import Proxy, Tap
from sandbox.faults.scene import Scene
from sandbox.faults.stage import Stage
from sandbox.waiting import wait_until

MOMENT_SECONDS = 120.0
QUIET_SECONDS = 45.0
"""How long what a run has started may live after it."""


class Case(Model):
    """What is done when to what.

    :param moment: one of the step's `MOMENTS`; None: the fault is there from the start.
    :param fault: one of `KINDS`.
    :param lasting: it stays until the run has ended; else until the disturbed try has.
    :param balancer: its mode before.
    """

    family: str
    step: str
    moment: str | None
    fault: str
    lasting: bool = False
    balancer: str = "full"

    @property
    def name(self) -> str:
        """For people, and for `--only`."""
        at = f" ({self.when.words})" if self.when else ""
        more = ", to the end" if self.lasting else ""
        return f"{self.family}.{self.step}{at}: {self.fault}{more}"

    @property
    def when(self) -> Moment | None:
        """The moment."""
        return MOMENTS[self.family][self.step][self.moment] if self.moment else None

    @property
    def kind(self) -> Fault:
        """The fault."""
        return KINDS[self.fault]


class Outcome(Model):
    """How a case ended."""

    model_config = ConfigDict(frozen=False)

    case: Case
    words: str | None = None
    """What is wrong with the run; None: it was green."""
    told: str | None = None
    """What the disturbed step said, or the first that failed."""
    tries: bool = False
    """A green run needed another try of the step."""
    watchdog: bool = False
    """Something was left for the watchdog."""
    seconds: float = 0.0
    """From the disturbance to the end of the run."""
    problems: list[str] = Field(default_factory=list)
    """What the judge says. Nothing: all is as it must be."""
    log: list[str] = Field(default_factory=list)


class Conductor(Disturber):
    """Brings the fault about at its moment, and heals it."""

    def __init__(self, stage: Stage, case: Case, launcher: Launcher) -> None:
        self.phase = case.step
        self.lasting = case.lasting
        self.failed: str | None = None
        self.done_at: float | None = None
        self._stage = stage
        self._case = case
        moment = case.when
        self._tap = Tap(pattern=moment.pattern, side=moment.side, skip=moment.skip) if moment else Tap(pattern=b"$^")
        self.scene = Scene(stage=stage, step=f"{case.family}.{case.step}", tap=self._tap, launcher=launcher)
        self._over = threading.Event()
        self._once = threading.Lock()
        self._thread = threading.Thread(target=self._wait_and_act, name="fault", daemon=True)

    def begin(self) -> None:
        """See `Disturber`."""
        moment = self._case.when
        if moment is None:
            self.done_at = time.monotonic()
            return
        for proxy in self._proxies(moment):
            proxy.tap = self._tap
        self._thread.start()

    def _proxies(self, moment: Moment) -> Iterable[Proxy]:
        stage = self._stage
        if moment.place == "store":
            return [stage.before_store]
        if moment.place == "gateway":
            return [stage.gateway]
        return [stage.members[host] for host in stage.cluster.hosts(moment.component)]

    def _wait_and_act(self) -> None:
        try:
            deadline = time.monotonic() + MOMENT_SECONDS
            while not self._tap.reached.wait(0.02):
                if self._over.is_set() or time.monotonic() > deadline:
                    self.failed = "the moment did not come"
                    return
            self._case.kind.act(self.scene)
            self.done_at = time.monotonic()
        except (MongoBackupError, PyMongoError, psutil.Error, OSError, AssertionError) as error:
            self.failed = f"the fault was not brought about: {type(error).__name__}: {error}"
        finally:
            self._tap.let_go()

    def tried(self) -> None:
        """See `Disturber`."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join(MOMENT_SECONDS)
        if not self.lasting:
            self.heal()

    def heal(self) -> None:
        """Undo the fault."""
        with self._once:
            self.scene.heal()


def run_case(stage: Stage, case: Case) -> Outcome:
    """Run and judge one case."""
    outcome = Outcome(case=case)
    stage.settle()
    stage.set_balancer(case.balancer)
    before, sets = stage.marks(), set(complete_sets(stage.objects, stage.credentials))
    data = data_of(stage.cluster) if case.family == "restore" else {}
    kind = case.kind
    launcher = Launcher(stage.credentials, limit_seconds=kind.limit_seconds, separate=kind.separate, before=kind.before)
    conductor = Conductor(stage, case, launcher)
    run = _run(stage, case, conductor, launcher)
    try:
        with LogCatcher() as log:
            outcome.words = run.go()
        outcome.seconds = time.monotonic() - (conductor.done_at or time.monotonic())
        outcome.log = log.lines
        if conductor.failed:
            outcome.problems.append(conductor.failed)
        outcome.told = _told(run, case.step)
        outcome.tries = outcome.words is None and any(name.startswith(case.step) for name in run.messages)
        if kind.name.startswith("damaged"):
            outcome.problems += _check_is_silent(stage)
    finally:
        conductor.heal()
        stage.open_all()
    outcome.problems += _processes_left()
    stale = set(restic_locks(stage.objects, stage.credentials))
    left = what_is_left(stage.cluster, stage.objects, stage.credentials, before)
    if left:
        outcome.watchdog = True
        _watchdog(stage)
        left = what_is_left(stage.cluster, stage.objects, stage.credentials, before)
    outcome.problems += [f"left: {each}" for each in left]
    if left:
        stage.reset()
    stage.settle()
    outcome.problems += _words_wrong(outcome, conductor)
    if isinstance(run, BackupRun):
        outcome.problems += _sets_wrong(stage, run, sets)
        if outcome.words is not None:  # a green run was one
            outcome.problems += _again(lambda: stage.backup().run(), "a fresh backup")
    elif isinstance(run, RestoreRun):
        outcome.problems += _target_wrong(stage, run, outcome, data)
    outcome.problems += _locks_wrong(stage, stale)
    return outcome


def _run(stage: Stage, case: Case, conductor: Conductor, launcher: Launcher) -> Run:
    if case.family == "backup":
        return BackupRun(launcher=launcher, disturber=conductor, inline=stage.backup())
    return RestoreRun(launcher=launcher, disturber=conductor, inline=stage.restore())


def _told(run: Run, step: str) -> str | None:
    own = [words for task, words in run.messages.items() if task.partition("[")[0] == step]
    return next(iter([*own, *run.messages.values()]), None)


# The judge's questions


def _processes_left() -> list[str]:
    """Agents and restics that live on after their run."""

    def living() -> list[psutil.Process]:
        below = psutil.Process(os.getpid()).children(recursive=True)
        return [each for each in below if alive(each) and _is_ours(each)]

    try:
        wait_until(lambda: not living(), what="all agents have ended", timeout=QUIET_SECONDS, interval=0.2)
    except MongoBackupError:
        return [f"still alive after the run: {' '.join(each.cmdline())[:120]}" for each in living()]
    return []


def _is_ours(process: psutil.Process) -> bool:
    try:
        return process.name() == "restic" or "sandbox.faults.detour" in process.cmdline()
    except psutil.Error:
        return False


def _watchdog(stage: Stage) -> None:
    """Let the leases end, as they do when nobody renews them, and do what the watchdog does."""
    journal = stage.cluster.admin_client(CONFIG)[JOURNAL_DB][JOURNAL_COLLECTION]
    journal.update_many({}, [{"$set": {"expires": {"$subtract": ["$$NOW", 1000]}}}])
    with Connector(binding=stage.objects.target, credentials=stage.credentials) as connector:
        release_expired(connector)


def _check_is_silent(stage: Stage) -> list[str]:
    """A check of a damaged repository must say so."""
    with open_repository(stage.objects, stage.credentials) as repository:
        try:
            repository.check(read_data_subset="100%", timeout=120)
        except MongoBackupError:
            return []
    return ["a check of the damaged repository found nothing"]


def _words_wrong(outcome: Outcome, conductor: Conductor) -> list[str]:
    kind = outcome.case.kind
    if outcome.words is None:
        return ["the run is green"] if kind.must_fail else []
    hosts = "|".join(map(re.escape, conductor.scene.names)) or "no host"
    if kind.must_succeed:
        return [f"the run is red: {outcome.words[:600]}"]
    if re.search(kind.reason.replace("{hosts}", hosts), outcome.words):
        return []
    return [f"the reason does not name the cause: {outcome.words[:600]}"]


def _sets_wrong(stage: Stage, run: BackupRun, before: set[str]) -> list[str]:
    """A set is visible if, and only if, its commit succeeded, and then it can be read."""
    wrong: list[str] = []
    new = set(complete_sets(stage.objects, stage.credentials)) - before
    expected = {run.committed.set_id} if run.committed else set()
    if new != expected:
        # A commit that was done and could not tell anybody has made a whole set; nothing else may be visible.
        own = {run.inline.prepared.set_id} if run.inline.prepared else set()
        disturbed_commit = run.states.get("commit_snapshot") == "failed" and new == own
        if not disturbed_commit:
            wrong.append(f"visible are {sorted(new)}, and committed was {sorted(expected)}")
    for set_id in new if run.disturber.phase in ("dump", "commit_snapshot") else ():
        wrong += unreadable(stage.objects, stage.credentials, set_id)
    return wrong


def _target_wrong(stage: Stage, run: RestoreRun, outcome: Outcome, data: dict[str, object]) -> list[str]:
    """Untouched, or restored, or called incomplete; in the end a restore makes it whole."""
    if outcome.words is not None and run.touched:
        problems = _again(lambda: stage.restore().run(), "a repeated restore")
        return problems or (["the repeated restore made other data"] if data_of(stage.cluster) != data else [])
    if data_of(stage.cluster) != data:
        return ["the run is green and the data are others" if outcome.words is None else "the target was touched"]
    return []


def _locks_wrong(stage: Stage, stale: set[str]) -> list[str]:
    """Locks of a run that died are gone with the next backup's `prepare`, which removes those of dead processes."""
    with open_repository(stage.objects, stage.credentials) as repository:
        left = set(repository.remove_stale_locks()[1]) & stale
        return [words for each in left if (words := lock_left(repository, each))]


def _again(act: Callable[[], object], what: str) -> list[str]:
    try:
        act()
    except MongoBackupError as error:
        return [f"{what} right after fails: {error.message[:600]}"]
    return []
