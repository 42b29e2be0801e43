"""Runs one step: reads the request, calls the function, writes the result, returns the exit code."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from pydantic import ValidationError

from mongo_backup import logs
from mongo_backup.agent.contract import REQUEST_VARIABLE, RESULT_BYTES_VARIABLE, RESULT_MARK, Envelope
from mongo_backup.agent.lifetime import end_with_parent, ignore_signals, raise_on_signals
from mongo_backup.agent.registry import Step, find_step
from mongo_backup.credentials import read_credentials
from mongo_backup.errors import (
    ConfigurationError,
    ExitCode,
    InterruptedByRequestError,
    MongoBackupError,
    SignalError,
)
from mongo_backup.model import Model

log = logging.getLogger(__name__)


def run_step(*, step: str, request_file: str | None = None, result_file: str | None = None) -> ExitCode:
    """Run one step to its end; whatever happens, the result document is written and says how it ended."""
    try:
        raise_on_signals()
        envelope = _run(step, request_file)
        ignore_signals()
    except SignalError as signal_:
        log.error("%s", signal_)
        envelope = _failed(step, InterruptedByRequestError(str(signal_)), ExitCode.INTERRUPTED, str(signal_))
    _write_result(envelope, result_file)
    return envelope.exit_code


def _run(step: str, request_file: str | None) -> Envelope:
    try:
        end_with_parent()
        found = find_step(step)
        request = _read_request(found, request_file)
        credentials = read_credentials()
        logs.hide_credentials(credentials)
        result = found.call()(request, credentials)
        return Envelope(step=step, ok=True, result=result.model_dump(mode="json"))
    except MongoBackupError as error:
        log.error("%s", error.message)
        return _failed(step, error, error.exit_code, error.message)
    except Exception as error:  # the contract: every end has a result document
        log.exception("%s failed in a way that nobody foresaw", step)
        return _failed(step, error, ExitCode.UNEXPECTED, f"{type(error).__name__}: {error}")


def _failed(step: str, error: Exception, code: ExitCode, message: str) -> Envelope:
    return Envelope(
        step=step, ok=False, exit_code=code, error_type=type(error).__name__, message=logs.redact(message)[:2000]
    )


def _read_request(step: Step, path: str | None) -> Model:
    """Read the request from the file, else from the environment.

    :raises ConfigurationError: nothing there, no JSON, or not of the step's form.
    """
    try:
        text = Path(path).read_text("utf-8") if path else os.environ[REQUEST_VARIABLE]
        return step.request_type().model_validate(json.loads(text))
    except KeyError:
        raise ConfigurationError(f"no request: give --request FILE or set {REQUEST_VARIABLE}") from None
    except OSError as error:
        raise ConfigurationError(f"the request cannot be read: {error}") from error
    except ValidationError as error:
        raise ConfigurationError(f"the request is not of the step's form: {error}") from error
    except ValueError as error:
        raise ConfigurationError(f"the request is no JSON: {error}") from error


def _write_result(envelope: Envelope, path: str | None) -> None:
    """Write the result document; with a file the write is whole or absent to a reader that waits for the exit."""
    text = envelope.model_dump_json()
    limit = os.environ.get(RESULT_BYTES_VARIABLE)
    if path and limit and len(text.encode()) > int(limit):
        sys.stdout.write(f"{RESULT_MARK}{text}\n")
        sys.stdout.flush()
        text = Envelope(step=envelope.step, ok=envelope.ok, exit_code=envelope.exit_code, in_log=True).model_dump_json()
    if path:
        Path(path).write_text(text, "utf-8")
    else:
        sys.stdout.write(text + "\n")
