"""A result that a termination message cannot hold is a line of the log, and the message says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mongo_backup.agent.contract import RESULT_BYTES_VARIABLE, RESULT_MARK, Envelope
from mongo_backup.agent.main import run_step
from mongo_backup.errors import ExitCode


@pytest.mark.parametrize(("limit", "in_log"), [("20", True), ("4096", False)])
def test_a_result_goes_where_it_fits(
    limit: str, in_log: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RESULT_BYTES_VARIABLE, limit)
    for name in ("raise_on_signals", "ignore_signals"):  # pytest's own stay
        monkeypatch.setattr(f"mongo_backup.agent.main.{name}", lambda: None)
    file = tmp_path / "result"
    code = run_step(step="backup.none", result_file=str(file))
    assert code == ExitCode.CONFIGURATION
    short, lines = Envelope.model_validate_json(file.read_text()), capsys.readouterr().out.splitlines()
    assert short.in_log is in_log
    assert short.exit_code == ExitCode.CONFIGURATION
    if in_log:
        (line,) = lines
        short = Envelope.model_validate(json.loads(line.removeprefix(RESULT_MARK)))
    assert "there is no step backup.none" in (short.message or "")
