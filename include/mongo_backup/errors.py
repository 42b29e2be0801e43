"""The errors of the product: one tree, each with its exit code and whether a retry makes sense.

::

    MongoBackupError                    1   unexpected
    ├── ConfigurationError             10   an object, option or credential is wrong: change it
    ├── PreconditionError              11   the target or the store is not in a state for this: nothing was touched
    │   └── ConflictError              15   somebody else holds what is needed (a lock, a repository): wait
    │       └── TargetBusyError        17   another run is at work on the target: wait for its end
    ├── TransientError                 12   a server or store did not answer: try again
    ├── PermanentError                 13   it failed and would fail again
    │   └── ArchiveError               16   an archive is truncated, damaged or no archive
    ├── VerificationError              14   what was read is not what was written
    └── InterruptedByRequestError     130   somebody ended it (SIGTERM, SIGINT, deadline)

An unknown exit code MUST be treated as a failure. `docs/reference/agent.md` is the contract for callers.
A message names the object, the reason and the next step; it never holds a secret.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How an agent command ended. The numbers are a contract: never reuse one."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 10
    PRECONDITION = 11
    TRANSIENT = 12
    PERMANENT = 13
    VERIFICATION = 14
    CONFLICT = 15
    ARCHIVE = 16
    BUSY = 17
    INTERRUPTED = 130


class MongoBackupError(Exception):
    """Root of all errors that this product raises on purpose.

    :param message: names the object, the reason and, where there is one, the next step.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.UNEXPECTED
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(MongoBackupError):
    """An object, an option or a credential is wrong; it stays wrong until somebody changes it."""

    exit_code = ExitCode.CONFIGURATION


class PreconditionError(MongoBackupError):
    """The target or the store is not in a state in which this may be done. Nothing was touched."""

    exit_code = ExitCode.PRECONDITION


class ConflictError(PreconditionError):
    """Somebody else holds what is needed: a person's lock, a repository lock."""

    exit_code = ExitCode.CONFLICT
    retryable = True


class TargetBusyError(ConflictError):
    """Another run is at work on the target. What comes of it is the configuration's `concurrency`."""

    exit_code = ExitCode.BUSY


class TransientError(MongoBackupError):
    """A server or a store did not answer as it should; the same call may work in a moment."""

    exit_code = ExitCode.TRANSIENT
    retryable = True


class PermanentError(MongoBackupError):
    """It failed, and the same call would fail again."""

    exit_code = ExitCode.PERMANENT


class ArchiveError(PermanentError):
    """The bytes are no archive, end too early or are damaged. Nothing of it may count as restored."""

    exit_code = ExitCode.ARCHIVE


class VerificationError(MongoBackupError):
    """What was read is not what was written."""

    exit_code = ExitCode.VERIFICATION


class InterruptedByRequestError(MongoBackupError):
    """Somebody or a deadline ended the command; its own marks on the target are undone."""

    exit_code = ExitCode.INTERRUPTED


class SignalError(BaseException):
    """A signal asks the process to end; raised in its main thread, wherever that is.

    Not one of the errors: who goes on after an error, as logging does, must not go on after this. The agent reports it
    as `InterruptedByRequestError`.
    """


def error_class(exit_code: int) -> type[MongoBackupError]:
    """Return the class for an exit code of the agent; an unknown code is `MongoBackupError` itself."""
    known: list[type[MongoBackupError]] = [
        ConfigurationError,
        PreconditionError,
        ConflictError,
        TargetBusyError,
        TransientError,
        PermanentError,
        ArchiveError,
        VerificationError,
        InterruptedByRequestError,
    ]
    return next((kind for kind in known if kind.exit_code == exit_code), MongoBackupError)
