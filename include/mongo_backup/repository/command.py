"""How restic is called on one repository: its environment, options, files, time limits and errors."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Self

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError, MongoBackupError, PreconditionError, TransientError
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.processes import Completed, GuardedProcess, redact, run
from mongo_backup.repository.outcome import VANISHED_LOCK, restic_error
from mongo_backup.repository.store import store_access

SHORT_TIMEOUT = 30.0
"""Seconds for a short command. restic itself would try a failing store again for 15 minutes."""


class ResticCommand:
    """restic on one repository. A context manager: files with certificates or keys live as long as it is open.

    :param store: where.
    :param credential: the store's credential, if it needs one.
    :param password: the repository's password.
    :param name: its folder in the store.
    :param host: what restic calls the host: the configuration's name, so that two configurations stay apart.
    :param cache_dir: a folder that outlives the process, for restic's cache; None: no cache.
    """

    def __init__(
        self,
        *,
        store: StoreSpec,
        credential: Credential | None,
        password: str,
        name: str,
        host: str,
        cache_dir: Path | None = None,
    ) -> None:
        if not password:
            raise ConfigurationError("the repository's password is empty: set it in the credential `encryption` names")
        self.host = host
        self._store = store
        self._access = store_access(store, credential, name)
        self.location = self._access.location
        """restic's name of it, safe to show."""
        self._secrets = self._access.secrets(password)
        self._environment = self._access.environment(password)
        self._options = [*self._access.options]
        self._options += ["--cache-dir", str(cache_dir)] if cache_dir else ["--no-cache"]
        self._files = tempfile.TemporaryDirectory(prefix="mongo-backup-store-")
        for option, content in self._access.file_options.items():
            self._options += [option, self._write(option.strip("-"), content)]
        for variable, content in self._access.file_variables.items():
            self._environment[variable] = self._write(variable, content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files with certificates and keys. May be called again."""
        self._files.cleanup()

    def _write(self, name: str, content: str) -> str:
        path = Path(self._files.name) / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(content)
        return str(path)

    # Processes

    @cached_property
    def _program(self) -> str:
        if (found := shutil.which("restic", path=self._environment.get("PATH"))) is None:
            raise PreconditionError("restic is not on PATH: install it (Debian: apt-get install restic)")
        return found

    def start(
        self,
        *arguments: str,
        feed: bool = False,
        grace_seconds: float = 10,
        on_error_line: Callable[[str], None] | None = None,
    ) -> GuardedProcess:
        """Start `restic <arguments>` on this repository.

        :raises PreconditionError: restic is not installed.
        :raises TransientError: no process can be started on this machine now.
        """
        try:
            return GuardedProcess(
                [self._program, *self._options, *arguments],
                environment=self._environment,
                feed=feed,
                grace_seconds=grace_seconds,
                on_error_line=on_error_line,
                again_on=VANISHED_LOCK,
            )
        except OSError as error:
            raise TransientError(f"restic cannot be started: {error.strerror}") from error

    def _run(self, *arguments: str, timeout: float) -> Completed:
        command = [self._program, *self._options, *arguments]
        return run(command, environment=self._environment, timeout=timeout, again_on=VANISHED_LOCK)

    def _must(self, doing: str, *arguments: str, timeout: float = SHORT_TIMEOUT) -> Completed:
        done = self._run(*arguments, timeout=timeout)
        if done.status != 0 or done.timed_out:
            raise self.error(done, doing)
        return done

    def error(self, done: Completed, doing: str) -> MongoBackupError:
        """Our error for a restic process on this repository that failed."""
        return restic_error(done, doing=doing, location=self.location, secrets=self._secrets)

    def redact(self, text: str) -> str:
        """`text` without this repository's secrets."""
        return redact(text, self._secrets)

    @cached_property
    def version(self) -> str:
        """The version of restic, such as `0.14.0`."""
        words = self._must("asking restic for its version", "version").stdout.split()
        return words[1] if len(words) > 1 else "unknown"
