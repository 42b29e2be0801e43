"""One restic repository: is it there, make it, list, forget, check.

The manual of the commands: https://restic.readthedocs.io/en/stable/. Works with restic 0.14 (Debian 12) and newer.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, ConflictError, PermanentError
from mongo_backup.model import Model
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.storage import BackupStorage, GcsStore, LocalStore, S3Store
from mongo_backup.processes import Completed, run
from mongo_backup.repository.command import SHORT_TIMEOUT, ResticCommand
from mongo_backup.repository.outcome import Cause, cause_of, plain
from mongo_backup.repository.reach import NOT_FOUND
from mongo_backup.repository.records import SNAPSHOTS, RepositoryConfig, Snapshot, Stats
from mongo_backup.repository.store import REGION_OPTION

logger = logging.getLogger(__name__)

FORGET_TIMEOUT = 600.0
PROOF = re.compile(r"Pack ID does not match|pack [0-9a-f]+: (?:does not exist|unexpected file size)|ciphertext verif")
"""What a check says of damage alone: a store that breaks off while it is read makes restic speak of errors too."""
REFUSED = re.compile(
    r"Remove\(<(?!lock/)[a-z]+/[0-9a-f]+>\) (?:returned error|failed).*(?:denied|not permitted|not authorized"
    r"|Forbidden|\b403\b|immutable|retention|legal hold|object lock|worm)",
    re.IGNORECASE,
)
"""A store that refuses to delete. restic would ask ten times, 45 s for each object; and a prune goes on to the next."""
REFUSALS_BELIEVED = 3
"""After so many refusals one after the other nothing more is tried."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
"""Between two looks at a repository that somebody else has locked."""
REPOSITORY_VERSION = "2"
"""The repository format with compression: restic 0.14 and newer."""


Parsed = TypeVar("Parsed")


class DamagedError(PermanentError):
    """A check found damage.

    :param words: all that restic said.
    """

    def __init__(self, message: str, words: str = "") -> None:
        super().__init__(message)
        self.words = words


class RefusedDeletionError(ConfigurationError):
    """The store does not let go of objects: they are locked, or the credential has no right to delete.

    :param left: ids of the snapshots that are still there.
    """

    def __init__(self, message: str, left: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.left = left


class Label(Model):
    """What a snapshot is part of; kept as its tags."""

    set_id: str | None = None
    """None: it tells of the repository as a whole."""
    component: str
    """A component of the target, or the part's name."""
    part: Literal["archive", "inventory", "manifest", "verification", "mark", "maintenance"]
    session: str | None = None
    result: Literal["verified", "failed"] | None = None
    """Of a verification."""
    mark: str | None = None
    """Of a mark: `pinned`, or a word that a policy's `marks` names."""
    checked: str | None = None
    """Of a maintenance: the part of the data that was read, such as `3/8`."""
    original: str | None = None
    """Of a copy that was read and written anew: the snapshot that it is a copy of."""

    @property
    def tags(self) -> tuple[str, ...]:
        """As restic's tags.

        :raises ConfigurationError: a value has a comma: restic separates tags by it.
        """
        values = {
            "set": self.set_id,
            "component": self.component,
            "part": self.part,
            "session": self.session,
            "result": self.result,
            "mark": self.mark,
            "checked": self.checked,
            "original": self.original,
        }
        if odd := next((value for value in values.values() if value and "," in value), None):
            raise ConfigurationError(f"{odd!r} cannot be a tag in a restic repository: it has a comma")
        return tuple(f"{name}={value}" for name, value in values.items() if value)


class Opened(Model):
    """A repository that is there and takes our password."""

    id: str
    version: int
    created: bool


class Pruned(Model):
    """What a prune did, as near as restic's words tell (four digits)."""

    freed_bytes: int | None
    stored_bytes: int | None


_UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def _bytes_of(label: str, words: str) -> int | None:
    """The size in restic's line `<label>:  3 blobs / 4.769 MiB`."""
    found = re.search(rf"^{label}: .*/ ([0-9.]+) ([KMGT]?i?B)", words, re.MULTILINE)
    return round(float(found[1]) * _UNITS[found[2]]) if found and found[2] in _UNITS else None


class Repository(ResticCommand):
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

    def snapshots(self, *, tags: Iterable[str] = (), all_hosts: bool = False) -> tuple[Snapshot, ...]:
        """List snapshots that have all these tags, oldest first; of this host alone unless `all_hosts`.

        Reads without a lock: it only lists, and a lock would make it wait for a prune.
        """
        wanted = ",".join(tags)
        arguments = [*(("--tag", wanted) if wanted else ()), *(() if all_hosts else ("--host", self.host))]
        done = self._must("listing snapshots", "snapshots", "--json", "--no-lock", *arguments)
        found: tuple[Snapshot, ...] = self._parse(SNAPSHOTS, done.stdout)
        return tuple(sorted(found, key=lambda snapshot: snapshot.time))

    def stats(self) -> Stats:
        """Sizes of what all snapshots hold together."""
        done = self._must(
            "asking for sizes", "stats", "--json", "--no-lock", "--mode", "raw-data", timeout=FORGET_TIMEOUT
        )
        return self._parse(TypeAdapter(Stats), done.stdout)

    def check(self, *, read_data_subset: str | None = None, timeout: float = 6 * 3600, wait_seconds: float = 0) -> None:
        """Check the repository's structure, and its data where a part is named (`10%`, `1/5`, `2G`).

        :param wait_seconds: how long a lock of somebody else (a running backup) is waited for.
        :raises PermanentError: it is damaged; see `damage.damaged`, which says what is hit.
        """
        # The structure first: it takes moments, and to read a pack that is not there restic tries for a minute each.
        self._check_once((), timeout=timeout, wait_seconds=wait_seconds)
        if read_data_subset:
            self._check_once(("--read-data-subset", read_data_subset), timeout=timeout, wait_seconds=wait_seconds)

    def _check_once(self, subset: tuple[str, ...], *, timeout: float, wait_seconds: float) -> None:
        done = self._alone("check", *subset, timeout=timeout, wait_seconds=wait_seconds)
        if done.status == 0 and not done.timed_out:
            return
        proved = PROOF.search(done.stderr) or cause_of(done.status, done.stderr) is Cause.DAMAGED
        if proved and not done.timed_out:
            message = f"the repository at {self.location} is damaged: {self.words(done)}"
            raise DamagedError(message, done.stdout + done.stderr)
        raise self.error(done, "checking the repository")

    def prune(self, *, timeout: float = 12 * 3600, wait_seconds: float = 0) -> Pruned:
        """Remove data that no snapshot needs any more.

        :param wait_seconds: see `check`.
        :raises ConflictError: the lock is still there.
        :raises RefusedDeletionError: the store does not let go of data; what can be read stays readable.
        """
        done = self._alone("prune", timeout=timeout, wait_seconds=wait_seconds, end_on=REFUSED)
        if REFUSED.search(done.stderr):
            raise RefusedDeletionError(
                f"the store does not let go of data of the repository at {self.location}: {self.words(done)}"
            )
        if done.status != 0 or done.timed_out:
            raise self.error(done, "pruning")
        words = plain(done.stdout)
        return Pruned(freed_bytes=_bytes_of("total prune", words), stored_bytes=_bytes_of("remaining", words))

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

    def _alone(
        self, *arguments: str, timeout: float, wait_seconds: float, end_on: re.Pattern[str] | None = None
    ) -> Completed:
        """Run what must be alone on the repository; wait while somebody else works on it, let go of stale locks."""
        deadline = time.monotonic() + wait_seconds
        told, pause = False, FIRST_PAUSE_SECONDS
        while True:
            done = self._run(*arguments, timeout=timeout, end_on=end_on)
            locked = done.status != 0 and not done.timed_out and cause_of(done.status, done.stderr) is Cause.LOCKED
            if not locked or time.monotonic() >= deadline:
                return done
            if not told:
                logger.info("waiting up to %.0f s: somebody else works on the repository", wait_seconds)
                told = True
            self.unlock_stale()
            time.sleep(min(pause, max(0.1, deadline - time.monotonic())))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def ask(self, adapter: TypeAdapter[Parsed], doing: str, *arguments: str, timeout: float = FORGET_TIMEOUT) -> Parsed:
        """Run a command that prints JSON.

        :raises MongoBackupError: it failed, or printed something else.
        """
        return self._parse(adapter, self._must(doing, *arguments, timeout=timeout).stdout)

    def tell(self, doing: str, *arguments: str, timeout: float = FORGET_TIMEOUT) -> None:
        """Run a command whose output does not matter.

        :raises MongoBackupError: it failed.
        """
        self._must(doing, *arguments, timeout=timeout)

    def words(self, done: Completed) -> str:
        """The end of what restic wrote to standard error, without secrets."""
        return str(self.error(done, "")).partition("restic says: ")[2]

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

    def locks(self) -> tuple[str, ...]:
        """Ids of the locks that are on the repository now."""
        return tuple(self._must("listing locks", "list", "locks", "--no-lock").stdout.split())

    def unlock_stale(self) -> None:
        """Remove locks whose owner is surely gone: dead on this host, or not refreshed for 30 minutes."""
        self._must("removing stale locks", "unlock")

    def remove_stale_locks(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `unlock_stale`; the ids of the locks that went, and of those of somebody who lives."""
        before = self.locks()
        self.unlock_stale()
        left = self.locks()
        return tuple(each for each in before if each not in left), left

    def forget(self, ids: Sequence[str], *, wait_seconds: float = 60) -> None:
        """Remove these snapshots; their data go with the next prune. One that is not there is no error.

        :param wait_seconds: how long a lock of somebody else (a running backup) is waited for.
        :raises ConflictError: the lock is still there.
        :raises RefusedDeletionError: the store does not let go of some; all others are gone.
        """
        if not ids:
            return
        targets = self._present(ids)
        if not targets or (refusal := self._forget(targets, wait_seconds)) is None:
            return
        # A refused one made restic give up: what else can go, goes one by one.
        in_vain = 0
        for one in self._present(targets):
            if in_vain == REFUSALS_BELIEVED:
                break
            in_vain = in_vain + 1 if self._forget([one], wait_seconds) else 0
        if left := self._present(targets):
            raise RefusedDeletionError(
                f"the store does not let go of {len(left)} snapshots of the repository at {self.location}: {refusal}",
                tuple(left),
            )

    def _present(self, ids: Sequence[str]) -> list[str]:
        present = {snapshot.id for snapshot in self.snapshots(all_hosts=True)}
        return [each for each in ids if each in present]

    def _forget(self, ids: Sequence[str], wait_seconds: float) -> str | None:
        """Forget them; returns what restic says where the store refuses."""
        done = self._alone("forget", *ids, timeout=FORGET_TIMEOUT, wait_seconds=wait_seconds, end_on=REFUSED)
        if REFUSED.search(done.stderr):
            return self.words(done)
        if done.status != 0 or done.timed_out:
            raise self.error(done, "forgetting snapshots")
        return None

    @staticmethod
    def _parse(adapter: TypeAdapter[Parsed], text: str) -> Parsed:
        try:
            return adapter.validate_json(text or "null")
        except ValidationError as error:
            what = error.errors(include_input=False, include_url=False)[0]
            raise PermanentError(
                f"restic printed something else than expected: {what['msg']} at {what['loc']}"
            ) from None
