"""How restic is called on one repository: its environment, options, files, time limits and errors."""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Self

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError, MongoBackupError, PreconditionError, TransientError
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.processes import Completed, GuardedProcess, redact, run
from mongo_backup.repository.joining import clash, joined_options
from mongo_backup.repository.outcome import VANISHED_LOCK, Cause, restic_error
from mongo_backup.repository.reach import ask
from mongo_backup.repository.store import store_access

NO_SFTP_SESSION = "unable to start the sftp session"
LOGIN_TIMEOUT = 10.0
SHORT_TIMEOUT = 30.0
"""Seconds for a short command. restic itself would try a failing store again for 15 minutes."""


class ResticCommand:
    """restic on one repository. A context manager: files with certificates or keys live as long as it is open.

    :param store: where.
    :param credential: the store's credential, if it needs one.
    :param password: the repository's password.
    :param name: its folder in the store.
    :param host: what restic calls the host: the configuration's name, so that two configurations stay apart.
    """

    def __init__(
        self,
        *,
        store: StoreSpec,
        credential: Credential | None,
        password: str,
        name: str,
        host: str,
    ) -> None:
        if not password:
            raise ConfigurationError("the repository's password is empty: set it in the credential `encryption` names")
        self.host = host
        self._store, self._credential, self._name = store, credential, name
        self._access = store_access(store, credential, name)
        self.location = self._access.location
        """restic's name of it, safe to show."""
        self._secrets = self._access.secrets(password)
        self._environment = self._access.environment(password)
        self._options = [*self._access.options]
        self._options += (
            ["--cache-dir", _cache_folder(store.transfer.cache)] if store.transfer.cache else ["--no-cache"]
        )
        self._files = tempfile.TemporaryDirectory(prefix="mongo-backup-store-")
        for option, content in self._access.file_options.items():
            self._options += [option, self._write(option.strip("-"), content)]
        for variable, content in self._access.file_variables.items():
            self._environment[variable] = self._write(variable, content)
        self._paths = {f"{{{name}}}": self._write(name, content) for name, content in self._access.files.items()}
        self._options += [self._fill(template) for template in self._access.file_templates]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the files with certificates and keys. May be called again."""
        self._files.cleanup()

    @contextlib.contextmanager
    def secret_file(self, name: str, content: str) -> Iterator[str]:
        """A file that only this process's user can read, while the block runs."""
        path = self._write(name, content)
        try:
            yield path
        finally:
            Path(path).unlink(missing_ok=True)

    def with_password(self, password: str) -> Self:
        """The same repository with another password; use as a context manager."""
        return type(self)(
            store=self._store, credential=self._credential, password=password, name=self._name, host=self.host
        )

    def cannot_join(self, source: ResticCommand) -> str | None:
        """Why one restic process cannot read `source` and write this repository, in words; None: it can."""
        return clash(source._access, self._access)

    def joined_by(self, source: ResticCommand) -> Self:
        """The same repository for commands that also read `source`; both must stay open as long as it is used."""
        joined = copy.copy(self)
        joined._environment = self._access.joined_environment(self._environment, source._access, source._environment)
        joined._options = joined_options(source._options, self._options)
        joined._secrets = (*self._secrets, *source._secrets)
        return joined

    def _fill(self, template: str) -> str:
        for name, path in self._paths.items():
            template = template.replace(name, path)
        return template

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

    def _run(self, *arguments: str, timeout: float, end_on: re.Pattern[str] | None = None) -> Completed:
        command = [self._program, *self._options, *arguments]
        return run(command, environment=self._environment, timeout=timeout, again_on=VANISHED_LOCK, end_on=end_on)

    def _must(self, doing: str, *arguments: str, timeout: float = SHORT_TIMEOUT) -> Completed:
        done = self._run(*arguments, timeout=timeout)
        if done.status != 0 or done.timed_out:
            raise self.error(done, doing)
        return done

    def error(self, done: Completed, doing: str) -> MongoBackupError:
        """Our error for a restic process on this repository that failed."""
        if NO_SFTP_SESSION in done.stderr and self._access.login_command:
            done = replace(done, stderr=f"{done.stderr}\n{self._ssh_words()}")
        return restic_error(done, doing=doing, location=self.location, secrets=self._secrets, silence=self._silence)

    def _ssh_words(self) -> str:
        """What ssh says when it is asked for the same session: restic often ends before it has heard it."""
        command = [self._fill(word) for word in self._access.login_command]
        try:
            return run(command, environment=self._environment, timeout=LOGIN_TIMEOUT).stderr
        except TransientError as error:
            return error.message

    def _silence(self) -> Cause:
        """Why the store does not answer, as far as a plain question tells."""
        cause, _ = self._ask()
        return cause or Cause.SILENT

    def _ask(self) -> tuple[Cause | None, int | None]:
        """Ask the store without restic and without credentials; nothing where there is nothing to ask."""
        if self._access.question is None:
            return None, None
        position = self._options.index("--cacert") if "--cacert" in self._options else None
        return ask(self._access.question, ca_file=None if position is None else self._options[position + 1])

    def redact(self, text: str) -> str:
        """`text` without this repository's secrets."""
        return redact(text, self._secrets)

    @cached_property
    def version(self) -> str:
        """The version of restic, such as `0.14.0`."""
        words = self._must("asking restic for its version", "version").stdout.split()
        return words[1] if len(words) > 1 else "unknown"

    def check_version(self) -> None:
        """Refuse a restic that is too old for what the store needs.

        :raises PreconditionError: it is.
        """
        if self._access.needs is None:
            return
        needed, what = self._access.needs
        if _numbers(self.version) < _numbers(needed):
            raise PreconditionError(f"restic {self.version} is here, and {what} needs {needed} or newer: install it")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _cache_folder(path: str) -> str:
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the cache folder {path} cannot be made ({error.strerror}): correct `transfer.cache` of the BackupStorage"
        ) from None
    return path
