"""What restic's exit statuses and words mean. The words are those that restic 0.14 printed, unless said otherwise."""

from __future__ import annotations

import pytest

from mongo_backup.errors import ConfigurationError, PreconditionError, TransientError
from mongo_backup.processes import Completed
from mongo_backup.repository.outcome import Cause, brief, cause_of, restic_error

OPEN = "Fatal: unable to open config file: "
PLACE = "\nIs there a repository at the following location?\ns3:http://127.0.0.1:1/backups/shop\n"


@pytest.mark.parametrize(
    ("status", "words", "cause"),
    [
        (1, f"{OPEN}stat /srv/r/config: no such file or directory{PLACE}", Cause.ABSENT),
        (1, f"{OPEN}Stat: The specified key does not exist.{PLACE}", Cause.ABSENT),
        (10, f"{OPEN}Stat: The specified key does not exist.{PLACE}", Cause.ABSENT),
        (10, "Fatal: repository does not exist", Cause.ABSENT),  # 0.17's documented status
        (1, f"{OPEN}Stat: The specified bucket does not exist{PLACE}", Cause.MISSING_BUCKET),
        (10, f"{OPEN}Stat: The specified bucket does not exist{PLACE}", Cause.MISSING_BUCKET),
        (1, f"{OPEN}Stat: The tenant does not exist{PLACE}", Cause.UNKNOWN),
        (1, f"{OPEN}Stat: Access Denied.{PLACE}", Cause.ACCESS_DENIED),
        (1, f"{OPEN}Stat: The access key ID you provided does not exist in our records.{PLACE}", Cause.ACCESS_DENIED),
        (
            1,
            f"{OPEN}Stat: The request signature we calculated does not match the signature you provided. "
            f"Check your key and signing method.{PLACE}",
            Cause.ACCESS_DENIED,
        ),
        (1, f'{OPEN}Stat: Get "http://a:1/b/": dial tcp 127.0.0.1:1: connect: connection refused{PLACE}', "reach"),
        (1, f"{OPEN}Stat: http: server gave HTTP response to HTTPS client{PLACE}", Cause.TLS),
        (1, f"{OPEN}Stat: x509: certificate signed by unknown authority{PLACE}", Cause.TLS),
        (1, "Fatal: wrong password or no key found\n", Cause.WRONG_PASSWORD),
        (12, "Fatal: something new\n", Cause.WRONG_PASSWORD),
        (1, "unable to create lock in backend: repository is already locked exclusively by PID 7 on a", Cause.LOCKED),
        (11, "Fatal: something new\n", Cause.LOCKED),
        (1, "unable to create lock in backend: write /r/locks/1: no space left on device", Cause.FULL),
        (1, "Save(<lock/1>) returned error: client.PutObject: We encountered an internal error", Cause.STORE_ERROR),
        (2, "cannot dump file: decrypting blob 0c4a failed: ciphertext verification failed", Cause.DAMAGED),
        (1, 'cannot dump file: path "/b.archive" not found in snapshot', Cause.NO_SNAPSHOT),
        (127, "restic cannot be started: No such file or directory", Cause.NOT_INSTALLED),
        (130, "signal interrupt received, cleaning up", Cause.INTERRUPTED),
        (137, "", Cause.KILLED),
        (-9, "", Cause.KILLED),
        (1, "Fatal: something that nobody has seen yet", Cause.UNKNOWN),
        (99, "", Cause.UNKNOWN),
    ],
)
def test_cause(status: int, words: str, cause: Cause | str) -> None:
    assert cause_of(status, words) == (Cause.UNREACHABLE if cause == "reach" else cause)


def failed(words: str, *, status: int = 1, timed_out: bool = False) -> Completed:
    return Completed(status, "", words, 3.0, timed_out)


def error(done: Completed, *secrets: str) -> Exception:
    return restic_error(done, doing="opening the repository", location="s3:http://s/b/r", secrets=secrets)


def test_message_names_object_reason_and_next_step() -> None:
    found = error(failed("Fatal: wrong password or no key found\n"))
    assert isinstance(found, ConfigurationError)
    assert str(found) == (
        "opening the repository at s3:http://s/b/r failed: the repository's password is wrong (exit status 1); "
        "check the credential named in `encryption`. restic says: Fatal: wrong password or no key found"
    )


def test_no_secret_in_a_message() -> None:
    found = error(failed('Fatal: dial "https://user:p%40ss@host": p@ss no space left on device'), "p@ss", "p%40ss")
    assert isinstance(found, PreconditionError)
    assert "p@ss" not in str(found)
    assert "p%40ss" not in str(found)


@pytest.mark.parametrize("words", ["", f"{OPEN}Stat: The specified key does not exist."])
def test_a_timeout_is_never_absence(words: str) -> None:
    found = error(failed(words, timed_out=True))
    assert isinstance(found, TransientError)
    assert "does not answer" in str(found)
    assert "within 3 s" in str(found)


def test_brief_leaves_out_noise() -> None:
    words = f"\x1b[2K{OPEN}Stat: Access Denied.\n\tmain.go:12\nruntime.goexit\nruntime/proc.go:250{PLACE}"
    assert brief(words) == f"{OPEN}Stat: Access Denied."
    assert brief("\n") == "(nothing)"
