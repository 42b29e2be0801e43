"""The runner with small programs in the agent's place: what it hands over, shows, returns, and how it ends things."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import FrameType

import psutil
import pytest
from pydantic import SecretStr

from mongo_backup.agent.contract import Envelope, RunIdentity
from mongo_backup.errors import ConflictError, ExitCode, InterruptedByRequestError
from mongo_backup_airflow.runners import slots
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.local import LocalRunner
from sandbox.waiting import wait_until

SECRET = "p@ss:w/ %?#&'\" one"

PREAMBLE = """
import json, os, signal, subprocess, sys, time
request, result = sys.argv[sys.argv.index("--request") + 1], sys.argv[sys.argv.index("--result") + 1]
def answer(code=0, **result_fields):
    envelope = {"step": sys.argv[1], "ok": code == 0, "exit_code": code}
    envelope |= {"result": result_fields} if code == 0 else {"message": "as told", "error_type": "T"}
    open(result, "w").write(json.dumps(envelope))
    sys.exit(code)
def say(text): print(text, file=sys.stderr, flush=True)
"""


def runner(body: str, *, grace: float = 10) -> LocalRunner:
    return LocalRunner(grace_seconds=grace, agent=(sys.executable, "-c", PREAMBLE + textwrap.dedent(body)))


def call(*, run: str = "backup.shop.nightly/r1", task: str = "dump[0]", alone: bool = False) -> StepCall:
    return StepCall(
        step="backup.dump",
        request=RunIdentity(dag_id="backup.shop.nightly", run_id="r1"),
        credentials=SecretStr(json.dumps({"connection:shop": {"password": SECRET}})),
        run=run,
        task=task,
        alone=alone,
    )


class Interrupted(BaseException):
    """What a signal raises in the tests, as Airflow's own timeout does."""


def after_line(text: str, *, action: object) -> logging.Handler:
    """Do something in the thread that logs, when the agent has said `text`."""

    class Trigger(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith(text):
                action(record.getMessage())  # type: ignore[operator]

    return Trigger()


@pytest.fixture
def agent_log() -> logging.Logger:
    logger = logging.getLogger("mongo_backup.agent")
    logger.setLevel(logging.INFO)
    before = list(logger.handlers)
    yield logger  # type: ignore[misc]
    logger.handlers[:] = before


def test_request_credentials_and_result_travel(agent_log: logging.Logger) -> None:
    done = runner(
        """
        credentials = open(os.environ["MONGO_BACKUP_CREDENTIALS"]).read()
        answer(run=json.load(open(request))["run_id"], password=json.loads(credentials)["connection:shop"]["password"])
        """
    ).run(call())
    assert done == Envelope(step="backup.dump", ok=True, result={"run": "r1", "password": SECRET})


def test_nothing_secret_in_arguments_environment_or_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"mongo://u:{SECRET}@h")
    monkeypatch.setenv("_AIRFLOW__X", SECRET)
    monkeypatch.setenv("UNTOUCHED", "yes")
    done = runner(
        """
        open(os.environ["MONGO_BACKUP_CREDENTIALS"]).read()
        family = [os.getpid(), os.getppid()]
        seen = "".join(open(f"/proc/{p}/{f}").read() for p in family for f in ("cmdline", "environ"))
        files = {os.readlink(f"/proc/{p}/fd/{fd}") for p in family for fd in os.listdir(f"/proc/{p}/fd")
                 if os.path.exists(f"/proc/{p}/fd/{fd}")}
        answer(seen=seen, files=sorted(files), untouched=os.environ["UNTOUCHED"])
        """
    ).run(call())
    assert done.result is not None
    assert SECRET not in done.result["seen"]
    assert "AIRFLOW" not in done.result["seen"]
    assert done.result["untouched"] == "yes"
    on_disk = [
        f for f in done.result["files"] if f.startswith("/") and not f.startswith(("/dev/", "/memfd:", "/proc/"))
    ]
    assert on_disk == []


def test_large_credentials_fit() -> None:
    big = StepCall(**{**call().__dict__, "credentials": SecretStr("x" * 300_000)})
    done = runner('answer(size=len(open(os.environ["MONGO_BACKUP_CREDENTIALS"]).read()))').run(big)
    assert done.result == {"size": 300_000}


def test_log_lines_keep_their_level_and_come_while_it_runs(
    agent_log: logging.Logger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flag = tmp_path / "seen"
    agent_log.addHandler(after_line("first", action=lambda _: flag.touch()))
    done = runner(
        f"""
        say("2026-01-31T02:00:07Z WARNING first, with numbers")
        deadline = time.monotonic() + 20
        while not os.path.exists({str(flag)!r}) and time.monotonic() < deadline: time.sleep(0.01)
        say("a line of its own")
        sys.stderr.write("no newline at the end")
        answer(live=os.path.exists({str(flag)!r}))
        """
    ).run(call())
    assert done.result == {"live": True}
    assert [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "mongo_backup.agent"] == [
        ("WARNING", "first, with numbers"),
        ("INFO", "a line of its own"),
        ("INFO", "no newline at the end"),
    ]


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("answer(11)", ExitCode.PRECONDITION, "as told"),
        ("sys.exit(12)", ExitCode.TRANSIENT, "exit status 12"),
        ("sys.exit(0)", ExitCode.UNEXPECTED, "without a valid result"),
        ("sys.exit(77)", ExitCode.UNEXPECTED, "exit status 77"),
        ("open(result, 'w').write('{'); sys.exit(1)", ExitCode.UNEXPECTED, "exit status 1"),
        ("os.kill(os.getpid(), signal.SIGKILL)", ExitCode.TRANSIENT, "SIGKILL"),
    ],
)
def test_failures_are_typed(body: str, code: ExitCode, words: str) -> None:
    done = runner(body).run(call())
    assert (done.ok, done.exit_code) == (False, code)
    assert words in str(done.message)
    assert done.error().exit_code == code


def test_a_success_without_exit_status_zero_is_no_success() -> None:
    done = runner("""open(result, "w").write('{"step": "backup.dump", "ok": true}'); sys.exit(3)""").run(call())
    assert not done.ok


def test_an_exception_ends_the_agent_first_and_shows_its_undo(
    agent_log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    def alarm(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    former = signal.signal(signal.SIGALRM, alarm)
    pids: list[int] = []

    def note_and_interrupt(line: str) -> None:
        pids.append(int(line.split()[1]))
        os.kill(os.getpid(), signal.SIGALRM)

    agent_log.addHandler(after_line("pid", action=note_and_interrupt))
    try:
        with pytest.raises(Interrupted):
            runner(
                """
                def undo(*_):
                    say("unlocking"); time.sleep(0.3); say("unlocked"); answer(130)
                signal.signal(signal.SIGTERM, undo)
                say(f"pid {os.getpid()}")
                time.sleep(60)
                """
            ).run(call())
    finally:
        signal.signal(signal.SIGALRM, former)
    said = [r.getMessage() for r in caplog.records if r.name == "mongo_backup.agent"]
    assert said[-2:] == ["unlocking", "unlocked"]
    assert not psutil.pid_exists(pids[0])


def test_stop_lets_the_agent_finish_its_undo(agent_log: logging.Logger) -> None:
    subject = runner('signal.signal(signal.SIGTERM, lambda *_: answer(130)); say("up"); time.sleep(60)')
    agent_log.addHandler(after_line("up", action=lambda _: subject.stop()))
    done = subject.run(call())
    assert isinstance(done.error(), InterruptedByRequestError)


def test_stop_before_the_start_starts_nothing() -> None:
    subject = runner("answer()")
    subject.stop()
    with pytest.raises(InterruptedByRequestError):
        subject.run(call())


def test_a_deaf_agent_and_its_children_are_killed_after_the_grace(agent_log: logging.Logger) -> None:
    subject = runner(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        say(f"pids {os.getpid()} {child.pid}")
        time.sleep(60)
        """,
        grace=0.5,
    )
    pids: list[int] = []

    def note_and_stop(line: str) -> None:
        pids.extend(int(word) for word in line.split()[1:])
        subject.stop()

    agent_log.addHandler(after_line("pids", action=note_and_stop))
    done = subject.run(call())
    assert isinstance(done.error(), InterruptedByRequestError)
    assert len(pids) == 2
    wait_until(lambda: not any(alive(pid) for pid in pids), what="agent and child are gone", timeout=5)


def test_children_that_outlive_the_agent_are_ended() -> None:
    done = runner(
        """
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        answer(child=child.pid)
        """
    ).run(call())
    assert done.result is not None
    wait_until(lambda: not alive(done.result["child"]), what="the child is gone", timeout=5)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


TASK = """
import sys, logging
sys.path.insert(0, sys.argv[1])
from test_local import call, runner
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
print(runner(sys.argv[2], grace=float(sys.argv[3])).run(call()))
"""


def task_process(body: str, *, grace: float = 10) -> subprocess.Popen[str]:
    """A process in the place of Airflow's task process, which runs the runner."""
    here = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", TASK, here, textwrap.dedent(body), str(grace)], stdout=subprocess.PIPE, text=True
    )


def test_agent_ends_in_order_when_the_task_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "undone"
    # After the task's death it writes more than a pipe holds: it must neither block nor fail.
    with task_process(
        f"""
        def undo(*_):
            for _ in range(3000): say("x" * 100)
            open({str(note)!r}, "w").write("yes"); answer(130)
        signal.signal(signal.SIGTERM, undo)
        say(f"pid {{os.getpid()}}")
        while True: time.sleep(60)
        """
    ) as task:
        assert task.stdout is not None
        agent = int(task.stdout.readline().split()[1])
        task.kill()
    wait_until(lambda: not alive(agent), what="the agent is gone", timeout=10)
    assert note.read_text() == "yes"


def test_a_new_try_waits_for_the_old_agent(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with task_process(
        f"""
        def undo(*_):
            time.sleep(0.7); open({str(trace)!r}, "a").write("old ended;"); answer(130)
        signal.signal(signal.SIGTERM, undo)
        say(f"pid {{os.getpid()}}")
        while True: time.sleep(60)
        """
    ) as task:
        assert task.stdout is not None
        task.stdout.readline()
        task.kill()
    done = runner(f'open({str(trace)!r}, "a").write("new began;"); answer()').run(call())
    assert done.ok
    assert trace.read_text() == "old ended;new began;"


def test_a_new_try_waits_for_an_agent_whose_guard_was_killed(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    lost = runner(
        f"""
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.7); open({str(trace)!r}, "a").write("old ended;")
        """
    ).run(call())
    assert (lost.exit_code, lost.message) == (
        ExitCode.TRANSIENT,
        "the agent's guard was ended by SIGKILL, and the agent with it",
    )
    done = runner(f'open({str(trace)!r}, "a").write("new began;"); answer()').run(call())
    assert done.ok
    assert trace.read_text() == "old ended;new began;"


def test_alone_waits_for_every_agent_of_the_run_and_for_no_other_run() -> None:
    with slots.claim(run="d/r1", task="dump[1]", alone=False, patience=0):
        slots.claim(run="d/r1", task="dump[0]", alone=False, patience=0).close()
        slots.claim(run="d/r2", task="prepare", alone=True, patience=0).close()
        with pytest.raises(ConflictError, match="another agent of this run"):
            slots.claim(run="d/r1", task="finish", alone=True, patience=0.2)
    slots.claim(run="d/r1", task="finish", alone=True, patience=0).close()


def test_a_slot_is_free_again_when_the_waiting_ends() -> None:
    held = slots.claim(run="d/r1", task="dump[0]", alone=False, patience=0)
    threading.Timer(0.3, held.close).start()
    slots.claim(run="d/r1", task="dump[0]", alone=False, patience=10).close()
