"""The command line as a process: exit codes, what is shown, how fast it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from mongo_backup import __version__
from mongo_backup.cli import main as cli
from mongo_backup.errors import ConfigurationError, ConflictError


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mongo_backup", *words], capture_output=True, text=True, timeout=60, check=False
    )


def in_process(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run the command line with a sub-command that raises."""

    def broken() -> None:
        raise error

    application = typer.Typer()
    application.callback()(lambda: None)
    application.command("broken")(broken)
    monkeypatch.setattr(cli, "build", lambda words: application)
    return cli.main(["broken"])


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"mongo-backup {__version__}\n")


def test_help_names_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    assert all(name in result.stdout for name in cli.COMMANDS)


def test_every_command_has_help() -> None:
    for name in cli.COMMANDS:
        result = run(name, "--help")
        assert result.returncode == 0, result.stderr
        assert "Usage: mongo-backup" in result.stdout


def test_unknown_command_is_a_usage_error() -> None:
    result = run("nope")
    assert result.returncode == 2
    assert "nope" in result.stderr


def test_error_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_process(monkeypatch, ConfigurationError("the bucket\nis missing")) == 10
    assert capsys.readouterr().err == "error: the bucket is missing\n"
    assert in_process(monkeypatch, ConflictError("busy")) == 15


def test_defect_shows_its_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert in_process(monkeypatch, ZeroDivisionError("surprise")) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "ZeroDivisionError: surprise" in shown


def test_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_process(monkeypatch, KeyboardInterrupt()) == 130


def test_agent_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    """The agent starts once per step: half a second is its budget, and heavy modules are what would break it."""
    heavy = "{'rich', 'yaml', 'pymongo', 'pydantic', 'airflow'}"
    code = f"import sys, mongo_backup.cli.main as m; m.build(['agent']); print({heavy} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert result.stdout == "set()\n"
