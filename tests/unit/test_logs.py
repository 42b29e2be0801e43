"""Log lines: one per message, no colours in a file, never a secret."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from mongo_backup import logs


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Logging sent to a text; everything as before afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    monkeypatch.setattr(logs, "_secrets", set())
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_one_line_per_message_without_colours(stream: io.StringIO) -> None:
    logs.set_up(stream=stream)
    logging.getLogger("mongo_backup.x").warning("first\nsecond %d", 7)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING first second 7\n", stream.getvalue())


def test_level_from_the_environment(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(logs.LEVEL_VARIABLE, "error")
    logs.set_up(stream=stream)
    logging.getLogger("mongo_backup.x").warning("not shown")
    logging.getLogger("mongo_backup.x").error("shown")
    assert stream.getvalue().endswith("ERROR   shown\n")
    assert "not shown" not in stream.getvalue()


@pytest.mark.parametrize("secret", ["p@ss:/%?#& word", "quo\"te's", "zwei\nZeilen!"])
def test_secrets_are_blotted_out_in_every_form(stream: io.StringIO, secret: str) -> None:
    logs.set_up(stream=stream, secrets=[secret, None, ""])
    logger = logging.getLogger("mongo_backup.x")
    logger.warning("plain %s", secret)
    logger.warning("uri mongodb://u:%s@h", quote_plus(secret))
    logger.warning("json %s", json.dumps({"password": secret}))
    try:
        raise ValueError(f"refused {secret}")
    except ValueError:
        logger.exception("failed")
    shown = stream.getvalue()
    assert shown.count("***") >= 4
    assert "Traceback" in shown
    for part in (secret, *secret.splitlines(), quote_plus(secret), json.dumps(secret)[1:-1]):
        assert part not in shown


def test_short_values_are_left_alone(stream: io.StringIO) -> None:
    logs.set_up(stream=stream, secrets=["a"])
    logging.getLogger("mongo_backup.x").warning("a cat")
    assert stream.getvalue().endswith("a cat\n")


def test_the_agent_hides_what_its_credentials_hold(tmp_path: Path) -> None:
    """An error that quotes a password by mistake shows it neither in the log nor in the result."""
    secret = "p@ss:/%?#& 'word\""
    (tmp_path / "credentials.json").write_text(json.dumps({"connection:x": {"username": "u", "password": secret}}))
    (tmp_path / "request.json").write_text("{}")
    code = (
        "import sys\n"
        "from mongo_backup import logs\n"
        "from mongo_backup.agent import main, registry\n"
        "from mongo_backup.errors import PermanentError\n"
        "from mongo_backup.model import Model\n"
        "def broken(request, credentials):\n"
        "    raise PermanentError('refused ' + credentials.values['connection:x'].password_text())\n"
        "class Step:\n"
        "    request_type = staticmethod(lambda: Model)\n"
        "    call = staticmethod(lambda: broken)\n"
        "main.find_step = lambda name: Step\n"
        "logs.set_up()\n"
        "sys.exit(int(main.run_step(step='x', request_file=sys.argv[1])))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "request.json")],
        env={**os.environ, "MONGO_BACKUP_CREDENTIALS": str(tmp_path / "credentials.json")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 13, result.stderr
    assert "refused ***" in result.stderr
    assert json.loads(result.stdout)["message"] == "refused ***"
    assert "p@ss" not in result.stderr + result.stdout
