"""Log lines: one per message, no colours in a file, never a secret."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

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
    import json
    from urllib.parse import quote_plus

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
