"""The guard: a program sees the end of its input only when its writer has said so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mongo_backup.processes import GuardedProcess, redact, run

PROBE = """
import os, select, signal, sys, time
def note(word):
    with open(sys.argv[1], "a") as file: file.write(word + " ")
def interrupted(*_):
    time.sleep(float(sys.argv[2]))  # an end of input would show meanwhile
    note("interrupted"); sys.stderr.write("cleaning up\\n"); sys.stderr.flush(); note("clean"); os._exit(130)
signal.signal(signal.SIGINT, interrupted)
note("ready"); print("ready", flush=True)
data = b""
while True:
    while not select.select([0], [], [], 0.05)[0]:  # a blocking read could miss a signal that comes just before it
        pass
    part = os.read(0, 65536)
    if not part:
        break
    data += part
note(f"end:{len(data)}")
"""
"""Notes what happens to it."""


def probe(notes: Path, *, cleaning: float = 0.1, grace: float = 5) -> GuardedProcess:
    process = GuardedProcess(
        [sys.executable, "-c", PROBE, str(notes), str(cleaning)],
        environment=dict(os.environ),
        feed=True,
        grace_seconds=grace,
    )
    with process.stdout as output:
        assert output.readline() == b"ready\n"
    return process


def test_commit_is_the_end_of_the_input(tmp_path: Path) -> None:
    process = probe(tmp_path / "notes")
    os.write(process.stdin, b"12345")
    process.commit()
    assert process.wait(20) == 0
    assert (tmp_path / "notes").read_text() == "ready end:5 "


def test_end_is_not_the_end_of_the_input(tmp_path: Path) -> None:
    process = probe(tmp_path / "notes")
    os.write(process.stdin, b"12345")
    assert process.end() == 130
    assert process.end() == 130
    assert (tmp_path / "notes").read_text() == "ready interrupted clean "
    assert process.errors.text == "cleaning up\n"


def test_who_does_not_end_is_killed(tmp_path: Path) -> None:
    process = probe(tmp_path / "notes", cleaning=60, grace=0.2)
    assert process.end() == 128 + 9
    assert (tmp_path / "notes").read_text() == "ready "


def test_the_writers_death_is_not_the_end_of_the_input(tmp_path: Path) -> None:
    """And the program can still write its last words: a pipe without a reader would end it by SIGPIPE."""
    writer = f"""
import os
from tests.unit.test_processes import probe
from pathlib import Path
process = probe(Path({str(tmp_path / "notes")!r}))
os.write(process.stdin, b"12345")
os.kill(os.getpid(), 9)
"""
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", writer], cwd=root, check=False).returncode == -9
    deadline = time.monotonic() + 20
    notes = tmp_path / "notes"
    while "clean" not in notes.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert notes.read_text() == "ready interrupted clean "


def test_ended_before_it_began() -> None:
    began = time.monotonic()
    for _ in range(5):
        process = GuardedProcess(["sleep", "60"], environment=dict(os.environ), grace_seconds=60)
        assert process.end() == 130
        process.stdout.close()
    assert time.monotonic() - began < 60


def test_started_again_on_the_same_input(tmp_path: Path) -> None:
    stumble = f"""
import pathlib, sys, time
first = pathlib.Path({str(tmp_path / "first")!r})
if not first.exists():
    first.touch()
    print("stumbled", file=sys.stderr, flush=True)
    time.sleep(60)
print(len(sys.stdin.buffer.read()))
"""
    process = GuardedProcess(
        [sys.executable, "-c", stumble],
        environment=dict(os.environ),
        feed=True,
        again_on=re.compile("stumbled"),
    )
    os.write(process.stdin, b"12345")
    process.commit()
    assert process.wait(30) == 0
    with process.stdout as output:
        assert output.read() == b"5\n"


def test_status_of_the_program() -> None:
    environment = dict(os.environ)
    done = run(["sh", "-c", "echo out; echo err >&2; exit 7"], environment=environment, timeout=20)
    assert (done.status, done.stdout, done.stderr, done.timed_out) == (7, "out\n", "err\n", False)
    assert run(["sh", "-c", "kill -9 $$"], environment=environment, timeout=20).status == 137
    missing = run(["/no/such/program"], environment=environment, timeout=20)
    assert missing.status == 127
    assert "No such file" in missing.stderr


def test_a_run_that_takes_too_long_is_ended() -> None:
    done = run(["sh", "-c", "echo begun; exec sleep 60"], environment=dict(os.environ), timeout=0.5)
    assert done.timed_out
    assert done.status == 130
    assert done.stdout == "begun\n"


def test_much_output_does_not_block() -> None:
    flood = "import sys; sys.stderr.write('e' * 3_000_000); sys.stdout.write('o' * 3_000_000); sys.stderr.write('end')"
    done = run([sys.executable, "-c", flood], environment=dict(os.environ), timeout=30)
    assert done.status == 0
    assert len(done.stdout) == 3_000_000
    assert len(done.stderr) == 16 * 1024
    assert done.stderr.endswith("end")


def test_secrets_are_not_in_the_arguments_of_the_guard() -> None:
    process = GuardedProcess(["sleep", "30"], environment={**os.environ, "RESTIC_PASSWORD": "hidden-one"})
    try:
        assert b"hidden-one" not in Path(f"/proc/{process.guard_pid}/cmdline").read_bytes()
    finally:
        process.end()
        process.stdout.close()


@pytest.mark.parametrize(
    ("secrets", "text"),
    [
        (("secret",), "a *** b *** c"),
        (("secret", "secret b"), "a *** *** c"),
        (("abc", ""), "a secret b secret c"),
    ],
)
def test_redact(secrets: tuple[str, ...], text: str) -> None:
    assert redact("a secret b secret c", secrets) == text
