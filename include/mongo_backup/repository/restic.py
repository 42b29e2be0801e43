"""One restic repository: is it there, make it, copy into it. What is in it: `listing`; what keeps it good: `upkeep`.

The manual of the commands: https://restic.readthedocs.io/en/stable/. Works with restic 0.14 (Debian 12) and newer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, ConflictError, PermanentError
from mongo_backup.model import Model
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.storage import BackupStorage, GcsStore, LocalStore, S3Store
from mongo_backup.processes import Completed, run
from mongo_backup.repository.command import SHORT_TIMEOUT
from mongo_backup.repository.outcome import Cause, cause_of
from mongo_backup.repository.reach import NOT_FOUND
from mongo_backup.repository.records import RepositoryConfig
from mongo_backup.repository.store import REGION_OPTION
from mongo_backup.repository.upkeep import Upkeep

logger = logging.getLogger(__name__)

REPOSITORY_VERSION = "2"
"""The repository format with compression: restic 0.14 and newer."""


class Opened(Model):
    """A repository that is there and takes our password."""

    id: str
    version: int
    created: bool


class Repository(Upkeep):
    """One restic repository; the parameters are those of `ResticCommand`."""

    @classmethod
    def of(
        cls,
        *,
        configuration: BackupConfiguration,
        storage: BackupStorage,
        credentials: Credentials,
    ) -> Repository:
        """The repository of a configuration.

        :raises ConfigurationError: a credential is missing or incomplete.
        """
        encryption = credentials.get(configuration.spec.encryption)
        password = encryption.password_text() if encryption else None
        if not password:
            raise ConfigurationError(f"the credential {configuration.spec.encryption.key} has no password")
        return cls(
            store=storage.spec,
            credential=credentials.get(storage.spec.credentials),
            password=password,
            name=configuration.repository_name,
            host=configuration.name,
        )

    # Questions

    def exists(self, *, timeout: float = SHORT_TIMEOUT) -> bool:
        """Whether there is a repository that takes our password. Only a plain "not there" is False.

        :raises MongoBackupError: it cannot be said: wrong password, no bucket, no access, no answer, ...
        """
        return self._open(timeout, write=False) is not None

    def _open(self, timeout: float, *, write: bool) -> RepositoryConfig | None:
        self._check_base()
        return self._config(self._run("cat", "config", *(() if write else ("--no-lock",)), timeout=timeout))

    def _config(self, done: Completed) -> RepositoryConfig | None:
        """Read the answer to `cat config`; None where the store says plainly that there is no repository."""
        if done.timed_out or done.status != 0:
            if not done.timed_out and cause_of(done.status, done.stderr) is Cause.ABSENT:
                return None
            raise self.error(done, "opening the repository")
        return self._parse(TypeAdapter(RepositoryConfig), done.stdout)

    def _check_base(self) -> None:
        """A local store's folder must be there: else a volume that is not mounted would be "no repository yet"."""
        if isinstance(self._store, LocalStore) and not Path(self._store.path).is_dir():
            raise ConfigurationError(
                f"the local storage {self._store.path} is no folder here: mount the volume, create the folder or "
                "correct the BackupStorage (it is never created for you)"
            )

    # Acts

    def ensure(self, *, timeout: float = SHORT_TIMEOUT, like: Repository | None = None) -> Opened:
        """Open the repository with a lock, which also proves that the store can be written; make it if it is absent.

        It is made only when the store itself says that it is not there, never after another error.

        :param like: cut data into the same pieces as this one does, so that what is copied from it is stored once; as
            far as one restic process can see both (`cannot_join`).
        :raises MongoBackupError: see `repository.outcome`.
        """
        self.check_version()
        try:
            found = self._open(timeout, write=True)
        except ConflictError:  # a killed prune or forget leaves an exclusive lock; only a stale one goes away by this
            self.unlock_stale()
            found = self._open(timeout, write=True)
        if found is not None:
            return Opened(id=found.id, version=found.version, created=False)
        self._refuse_remains()
        self._require_bucket(timeout)
        self._make(like, timeout)
        found = self._open(timeout, write=True)
        if found is None:
            raise PermanentError(f"the repository at {self.location} was made and is not there: is the store eventual?")
        logger.info("made the restic repository %s (format %d)", self.location, found.version)
        return Opened(id=found.id, version=found.version, created=True)

    def _make(self, like: Repository | None, timeout: float) -> None:
        words = ("init", "--repository-version", REPOSITORY_VERSION)
        if like is None or self.cannot_join(like):
            self._must("making the repository", *words, timeout=timeout)
        else:
            self.joined_by(like)._must("making the repository", *words, "--copy-chunker-params", timeout=timeout)

    def _refuse_remains(self) -> None:
        """A repository that lost its `config` is damaged, not absent; a local one shows its remains."""
        folder = Path(self.location)
        if isinstance(self._store, LocalStore) and folder.is_dir() and any(folder.iterdir()):
            raise PermanentError(
                f"{self.location} has no restic `config` file, and is not empty: a damaged repository or a folder "
                "with something else; look at it, and move it away or correct the BackupStorage"
            )

    def _require_bucket(self, timeout: float) -> None:
        """Make sure that a bucket is there before `restic init`, which would make it.

        With a region restic asks for the object by HEAD, whose answer has no words: a missing bucket looks like a
        missing repository. Without a region it asks for the bucket's location first, and that answer says it. Of
        Google's storage restic never says it, but Google does, to anybody.
        """
        if isinstance(self._store, GcsStore) and self._ask()[1] == NOT_FOUND:
            done = Completed(1, "", f"gs: the bucket {self._store.bucket} does not exist: bucket not found", 0)
            raise self.error(done, "opening the repository")
        if isinstance(self._store, S3Store):
            region = {"AWS_DEFAULT_REGION", "AWS_REGION"}
            environment = {name: value for name, value in self._environment.items() if name not in region}
            options = [each for each in self._options if not each.startswith(REGION_OPTION)]
            command = [self._program, *options, "cat", "config", "--no-lock"]
            self._config(run(command, environment=environment, timeout=timeout))

    def copy_from(self, source: Repository, ids: Sequence[str], *, timeout: float, wait_seconds: float = 0) -> None:
        """Copy snapshots of another repository; those that are here already are passed over.

        Their ids become others; `Snapshot.origin` tells the old ones. Only where `cannot_join` says None. restic says
        nothing of snapshots that the source does not have: the caller looks for what came.

        :param wait_seconds: how long the lock of a prune is waited for.
        :raises MongoBackupError: it failed; what was copied until then stays.
        """
        joined = self.joined_by(source)
        done = joined._alone("copy", "--quiet", *ids, timeout=timeout, wait_seconds=wait_seconds)
        if done.status != 0 or done.timed_out:
            raise joined.error(done, f"copying from {source.location}")
