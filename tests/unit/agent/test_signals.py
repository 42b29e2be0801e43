"""SIGTERM ends a step wherever it strikes, and the step's result says so."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from mongo_backup.agent import main
from mongo_backup.agent.contract import REQUEST_VARIABLE, Envelope
from mongo_backup.agent.main import run_step
from mongo_backup.agent.registry import Step, StepFunction
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ExitCode, MongoBackupError
from mongo_backup.model import Model


class Nothing(Model):
    """Neither asked nor answered."""


class Struck(logging.Handler):
    """The signal comes while a line is written. Logging goes on after any exception of a handler."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:  # noqa: BLE001 - as logging.StreamHandler does
            self.handleError(record)


def while_logging(_request: Model, _credentials: Credentials) -> Model:
    logger = logging.getLogger("struck")
    logger.addHandler(handler := Struck())
    try:
        logger.warning("a line")
    finally:
        logger.removeHandler(handler)
    return Nothing()


def while_an_error_is_no_matter(_request: Model, _credentials: Credentials) -> Model:
    with contextlib.suppress(MongoBackupError):
        os.kill(os.getpid(), signal.SIGTERM)
    return Nothing()


@pytest.fixture
def handlers() -> Iterator[None]:
    former = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in former.items():
        signal.signal(each, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("function", [while_logging, while_an_error_is_no_matter])
def test_a_signal_is_never_taken_for_an_error_that_may_pass(
    function: StepFunction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake(Step):
        def request_type(self) -> type[Model]:
            return Nothing

        def call(self) -> StepFunction:
            return function

    monkeypatch.setattr(main, "find_step", lambda _name: Fake(request="", function=""))
    monkeypatch.setenv(REQUEST_VARIABLE, json.dumps({}))
    file = tmp_path / "result"
    assert run_step(step="backup.none", result_file=str(file)) is ExitCode.INTERRUPTED
    envelope = Envelope.model_validate_json(file.read_text())
    assert (envelope.ok, envelope.message) == (False, "ended by SIGTERM")
