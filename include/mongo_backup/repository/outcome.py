"""What a failed restic process means: from its exit status and words to one cause, and to one of our errors.

restic 0.17 and newer say some causes by exit status (10 no repository, 11 locked, 12 wrong password, 130 interrupted:
https://restic.readthedocs.io/en/stable/075_scripting.html); older ones exit with 1, so the words are read. The words of
stores are those that restic 0.14 printed against them, and their documented error codes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from mongo_backup.errors import (
    ConfigurationError,
    ConflictError,
    InterruptedByRequestError,
    MongoBackupError,
    PermanentError,
    PreconditionError,
    TransientError,
)
from mongo_backup.processes import Completed, redact


class Cause(StrEnum):
    """Why restic failed."""

    ABSENT = "there is no repository"
    WRONG_PASSWORD = "the repository's password is wrong"  # noqa: S105 - a sentence
    LOCKED = "somebody else holds a lock on the repository"
    MISSING_BUCKET = "the bucket or container does not exist"
    ACCESS_DENIED = "the store denies access"
    TLS = "the store's certificate, host key or protocol is not as expected"
    NO_REMOTE = "rclone has no remote of that name"
    NO_PROGRAM = "a program that restic starts for this store is not installed"
    FULL = "the store is full"
    UNREACHABLE = "the store cannot be reached"
    SILENT = "the store does not answer"
    STORE_ERROR = "the store fails"
    NO_SNAPSHOT = "there is no such snapshot or file in it"
    DAMAGED = "the repository is damaged"
    NOT_INSTALLED = "restic cannot be started"
    INTERRUPTED = "restic was interrupted"
    KILLED = "restic was killed"
    UNKNOWN = "restic failed"


_EXIT_STATUS = {
    10: Cause.ABSENT,
    11: Cause.LOCKED,
    12: Cause.WRONG_PASSWORD,
    126: Cause.NOT_INSTALLED,
    127: Cause.NOT_INSTALLED,
}

_WORDS: tuple[tuple[Cause, str], ...] = (
    # The order matters: a message about one thing often carries words of a more general one.
    (Cause.WRONG_PASSWORD, r"wrong password or no key found|an empty password is not a password"),
    (Cause.LOCKED, r"repository is already locked"),
    (
        Cause.MISSING_BUCKET,
        r"bucket does not exist|NoSuchBucket|bucket doesn't exist|ContainerNotFound|container does not exist"
        r"|bucket not found",
    ),
    (Cause.NO_REMOTE, r"didn't find section in config file"),
    (Cause.NO_PROGRAM, r"executable file not found"),
    (Cause.FULL, r"no space left on device|disk quota exceeded|QuotaExceeded|StorageFull|Insufficient Storage|\b507\b"),
    (
        Cause.TLS,
        r"x509:|server gave HTTP response to HTTPS client|tls: |malformed HTTP response"
        r"|Host key verification failed|No \S+ host key is known",
    ),
    (
        Cause.ACCESS_DENIED,
        r"Access ?Denied|InvalidAccessKeyId|access key ID you provided does not exist|SignatureDoesNotMatch"
        r"|signature we calculated does not match|AuthenticationFailed|AuthorizationFailure|permission denied"
        r"|malformed storage account key|decode account key|private key should be a PEM|error getting credentials"
        r"|cannot fetch token: 4\d\d|could not find default credentials"
        r"|\b40[13][ :]|Unauthorized|Forbidden|invalid_grant|ExpiredToken|token.* (?:is|has) expired|bad_auth_token",
    ),
    (
        Cause.UNREACHABLE,
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|TLS handshake timeout"
        r"|connection reset|context deadline exceeded|Client\.Timeout|broken pipe|unexpected EOF|server misbehaving"
        r"|Temporary failure in name resolution|Could not resolve hostname|Connection timed out|not known",
    ),
    (
        Cause.STORE_ERROR,
        r"internal error|InternalError|SlowDown|ServiceUnavailable|reduce your request rate|\b50[0234]\b",
    ),
    (
        Cause.ABSENT,
        # The words of each store for "this one object is not there", and nothing wider: a repository is made on it.
        r"unable to open config file: .*(?:config: no such file or directory|specified key does not exist|NoSuchKey"
        r"|object doesn't exist|BlobNotFound|specified blob does not exist|config/> does not exist|file does not exist"
        r"|unexpected HTTP response \(404\)|b2_download_file_by_name: 404)",
    ),
    (
        Cause.DAMAGED,
        r"repository contains errors|ciphertext verification failed|invalid data returned|does not match"
        r"|not a valid repository",
    ),
    (
        Cause.NO_SNAPSHOT,
        # restic 0.17 and newer fail to load what is not there, where older ones list first.
        r"no matching ID|no snapshot found|no snapshot matched|path \S+ not found in snapshot|failed to find snapshot",
    ),
)
_PATTERNS = tuple((cause, re.compile(pattern, re.IGNORECASE)) for cause, pattern in _WORDS)

VANISHED_LOCK = re.compile(r"Load\(<lock/[0-9a-f]+>.*(does not exist|no such file|not found|404)", re.IGNORECASE)
"""restic reads the locks of others before it begins. One that is removed between listing and reading costs restic
before 0.17 ten tries, 45 s (https://github.com/restic/restic/issues/1523). It has done nothing yet, so to start it
again is cheaper."""

_ERRORS: dict[Cause, tuple[type[MongoBackupError], str]] = {
    Cause.ABSENT: (PreconditionError, "run a backup first, or check storage, prefix and repository name"),
    Cause.WRONG_PASSWORD: (ConfigurationError, "check the credential named in `encryption`"),
    Cause.LOCKED: (
        ConflictError,
        "wait for it; a lock of a dead process goes away by `restic unlock` (never --remove-all)",
    ),
    Cause.MISSING_BUCKET: (ConfigurationError, "create it, or correct the BackupStorage: it is never created for you"),
    Cause.ACCESS_DENIED: (
        ConfigurationError,
        "check the BackupStorage's credential and what it may do (list, read, write, delete)",
    ),
    Cause.TLS: (
        ConfigurationError,
        "check the address and its scheme, `ca_file` or the credential's `ca`, for SFTP `known_hosts`",
    ),
    Cause.NO_REMOTE: (ConfigurationError, "correct `remote` of the BackupStorage, or `rclone_conf` of its credential"),
    Cause.NO_PROGRAM: (PreconditionError, "install it where the agent runs (Debian: rclone, openssh-client)"),
    Cause.FULL: (PreconditionError, "free or add space at the store"),
    Cause.UNREACHABLE: (TransientError, "check the endpoint and the network"),
    Cause.SILENT: (TransientError, "check the store, the endpoint and the network"),
    Cause.STORE_ERROR: (TransientError, "look at the store's own log (full, overloaded or broken)"),
    Cause.NO_SNAPSHOT: (PreconditionError, "list the sets to see what is there"),
    Cause.DAMAGED: (PermanentError, "run `restic check`"),
    Cause.NOT_INSTALLED: (PreconditionError, "install restic 0.14 or newer"),
    Cause.INTERRUPTED: (InterruptedByRequestError, "nothing was saved"),
    Cause.KILLED: (TransientError, "out of memory, or somebody killed it: nothing was saved"),
    Cause.UNKNOWN: (PermanentError, "read restic's words"),
}

_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\r")
_NOISE = re.compile(
    r"^(signal interrupt received, cleaning up|using temporary cache.*|\s.*|"
    r"\S+\.go:\d+|(runtime|main|github\.com)[./]\S+|)$"  # a Go program's stack
)
_QUESTION = "Is there a repository at the following location?"


def cause_of(status: int, words: str) -> Cause:
    """Judge a restic process that did not end with 0.

    :param status: exit status; 128 + n or -n for signal n.
    """
    found = next((cause for cause, pattern in _PATTERNS if pattern.search(words)), None)
    if status in _EXIT_STATUS:
        # 0.17 also says 10 where words say more: a missing bucket is no reason to create a repository.
        return found if found is Cause.MISSING_BUCKET and status == 10 else _EXIT_STATUS[status]
    if status == 130:
        return Cause.INTERRUPTED
    if status < 0 or status > 128:
        return Cause.KILLED
    return found or Cause.UNKNOWN


def restic_error(
    done: Completed, *, doing: str, location: str, secrets: Iterable[str], silence: Callable[[], Cause] | None = None
) -> MongoBackupError:
    """The error for a restic process that failed or was ended after its time.

    :param doing: what was tried, such as "opening the repository".
    :param location: the repository, safe to show.
    :param silence: asked for the cause where restic said nothing in all its time.
    """
    words = redact(done.stderr, secrets)
    cause = _timeout_cause(words) if done.timed_out else cause_of(done.status, words)
    if cause is Cause.SILENT and silence is not None:
        cause = silence()
    kind, advice = _ERRORS[cause]
    after = f" within {done.seconds:.0f} s" if done.timed_out else ""
    status = "" if done.timed_out else f" (exit status {done.status})"
    return kind(f"{doing} at {location} failed{after}: {cause}{status}; {advice}. restic says: {brief(words)}")


def _timeout_cause(words: str) -> Cause:
    """Judge a timeout: restic tries a failing store again for 15 minutes, what it says between is the cause."""
    found = next((cause for cause, pattern in _PATTERNS if pattern.search(words)), Cause.SILENT)
    return found if found is not Cause.ABSENT else Cause.SILENT


def plain(words: str) -> str:
    """`words` without the codes that clear a terminal's line."""
    return _TERMINAL.sub("", words)


def brief(words: str, limit: int = 600) -> str:
    """The last telling lines of restic's standard error, on one line."""
    lines = [
        line.strip() for line in plain(words).partition(_QUESTION)[0].splitlines() if not _NOISE.match(line.rstrip())
    ]
    text = " | ".join(lines[-4:])
    return text[-limit:] if text else "(nothing)"
