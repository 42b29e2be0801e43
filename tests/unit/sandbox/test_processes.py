from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mongo_backup.errors import PermanentError, TransientError
from sandbox.processes import Process
from sandbox.waiting import wait_until

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("not me", flush=True))
print("ready", flush=True)
while True: time.sleep(1)
"""

# A child in a session of its own, and then its parent is gone: nothing but the keeper can find it.
ESCAPING = """
import subprocess, sys, time
code = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
subprocess.run([sys.executable, "-c", code], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""

OWNER = """
import sys, time
from pathlib import Path
from sandbox.processes import Process
from sandbox.workspace import Workspace
workspace = Workspace("test")
command = [sys.executable, "-c", sys.argv[1]]
process = Process(name="x", command=command, log_path=workspace.path / "log", tree=sys.argv[2] == "tree")
process.start()
process.wait_ready(lambda: "ready" in process.tail())
print(process.pid, workspace.path, flush=True)
time.sleep(600)
"""


def python(code: str, folder: Path, *, tree: bool = False, stop_timeout: float = 0.3) -> Process:
    return Process(
        name="child",
        command=[sys.executable, "-c", code],
        log_path=folder / "log",
        stop_timeout=stop_timeout,
        tree=tree,
    )


def listen_to_interrupts() -> None:
    """A background job of a shell ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(process: Process) -> Process:
    process.start()
    process.wait_ready(lambda: "ready" in process.tail(), timeout=30)
    return process


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stubborn_child_is_killed_after_the_time_and_stop_may_be_repeated(tmp_path: Path) -> None:
    process = started(python(STUBBORN, tmp_path))
    pid = process.pid
    assert pid is not None
    process.stop()
    process.stop()
    assert gone(pid)
    assert not process.running
    assert "not me" in process.tail()


def test_a_paused_child_is_stopped(tmp_path: Path) -> None:
    process = started(python("import time; print('ready', flush=True); time.sleep(600)", tmp_path, stop_timeout=30))
    pid = process.pid
    assert pid is not None
    process.pause()
    wait_until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, what="it is stopped")
    process.stop()
    assert gone(pid)


def test_a_child_can_be_started_again(tmp_path: Path) -> None:
    process = started(python("import time; print('ready', flush=True); time.sleep(600)", tmp_path))
    first = process.pid
    process.kill()
    process.start()
    assert process.pid not in (None, first)
    process.kill()


def test_an_early_end_shows_status_and_log(tmp_path: Path) -> None:
    process = python("import sys; print('bad option'); sys.exit(9)", tmp_path)
    process.start()
    with pytest.raises(PermanentError, match=r"exit status 9(.|\n)*bad option"):
        process.wait_ready(lambda: False, timeout=30)


def test_a_late_start_shows_the_log(tmp_path: Path) -> None:
    process = started(python(STUBBORN, tmp_path))
    with pytest.raises(TransientError, match=r"not ready after 0 s(.|\n)*ready"):
        process.wait_ready(lambda: False, timeout=0.05)
    process.kill()


def test_a_child_sees_default_signals(tmp_path: Path) -> None:
    process = Process(name="yes", command=["sh", "-c", "yes | head -1; echo ready"], log_path=tmp_path / "log")
    process.start()
    assert process.wait_stopped(10)
    assert "Broken pipe" not in process.tail()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_kept_tree_leaves_no_escaped_grandchild(tmp_path: Path, how: str) -> None:
    process = started(python(ESCAPING, tmp_path, tree=True))
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) == 2
    getattr(process, how)()
    assert all(gone(each.pid) for each in below)


@pytest.mark.parametrize(
    ("mode", "code"),
    [("single", "import time; print('ready', flush=True); time.sleep(600)"), ("tree", ESCAPING)],
)
def test_nothing_is_left_when_the_owner_is_killed(mode: str, code: str) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, code, mode], stdout=subprocess.PIPE, text=True)
    assert owner.stdout
    with owner.stdout as output:
        pid, folder = output.readline().split()
    below = [psutil.Process(int(pid)), *psutil.Process(int(pid)).children(recursive=True)]
    assert len(below) == (3 if mode == "tree" else 1)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until(lambda: all(gone(each.pid) for each in below), what="all children are gone", timeout=30)
    wait_until(lambda: not Path(folder).exists(), what="the folder is gone", timeout=30)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_the_owner_is_interrupted(number: signal.Signals) -> None:
    code = "import time; print('ready', flush=True); time.sleep(600)"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, code, "single"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=listen_to_interrupts,
    )
    assert owner.stdout
    with owner.stdout as output:
        pid, folder = output.readline().split()
    owner.send_signal(number)
    owner.wait(timeout=30)
    wait_until(lambda: gone(int(pid)) and not Path(folder).exists(), what="all is gone", timeout=30)


def test_a_fork_of_the_owner_does_not_stop_its_children(tmp_path: Path) -> None:
    process = started(python(STUBBORN, tmp_path))
    child = os.fork()
    if child == 0:
        process.kill()
        os._exit(0)
    os.waitpid(child, 0)
    assert process.running
    process.kill()
