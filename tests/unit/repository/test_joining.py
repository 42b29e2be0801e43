"""What one restic process can have only once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.repository.test_store import SECRET, access

from mongo_backup.repository.joining import clash, joined_options

ONE, OTHER = {"username": "one", "password": SECRET}, {"username": "other", "password": SECRET}
AUTHORITY = {"extra": {"ca": "PEM"}}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (access("s3", ONE), access("local")),
        (access("s3", ONE), access("b2", OTHER)),
        (access("s3", ONE), access("s3", ONE, bucket="other", endpoint="https://other.example", storage_class="COLD")),
        (access("rest", ONE), access("rest", OTHER)),  # the login is part of the address
        (access("s3", {**ONE, **AUTHORITY}), access("b2", {**OTHER, **AUTHORITY})),
        (access("s3", ONE, ca_file="/ca.pem"), access("sftp")),
        (access("s3", ONE, transfer={"max_connections": 3}), access("s3", ONE, transfer={"cache": "/cache"})),
    ],
)
def test_one_process_is_enough(source: Any, target: Any) -> None:
    assert clash(source, target) is None
    assert clash(target, source) is None


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (access("s3", ONE), access("s3", OTHER), "credentials"),
        (access("s3", ONE), access("s3"), "credentials"),  # a key and the machine's own identity
        (access("s3", ONE), access("s3", ONE, region="eu-2"), "reached"),
        (access("s3", ONE, path_style=True), access("s3", ONE), "reached"),
        (access("azure", ONE), access("azure", OTHER), "credentials"),
        (access("s3", ONE), access("b2", {**OTHER, **AUTHORITY}), "authority"),
    ],
)
def test_some_things_are_there_once(source: Any, target: Any, words: str) -> None:
    for found in (clash(source, target), clash(target, source)):
        assert words in str(found)
        assert SECRET not in str(found)


def test_options_of_both() -> None:
    source = ["--option=s3.region=eu", "--limit-upload=1", "--limit-download=2", "--cacert", "/ca", "--no-cache"]
    target = ["--option=sftp.command=ssh", "--limit-upload=3", "--limit-download=4", "--pack-size=64", "--no-cache"]
    assert joined_options(source, target) == [
        "--option=sftp.command=ssh",
        "--limit-upload=3",
        "--pack-size=64",
        "--no-cache",
        "--option=s3.region=eu",
        "--limit-download=2",
        "--cacert",
        "/ca",
    ]


def test_the_environment_has_both_and_no_third() -> None:
    source, target = access("s3", ONE), access("b2", OTHER)
    base = {"PATH": "/bin", "AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "mine", "B2_ACCOUNT_KEY": "mine"}
    theirs, own = source.environment("source's", base), target.environment("target's", base)
    assert target.joined_environment(own, source, theirs) == {
        "PATH": "/bin",
        "AWS_ACCESS_KEY_ID": "one",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "eu-1",
        "B2_ACCOUNT_ID": "other",
        "B2_ACCOUNT_KEY": SECRET,
        "RESTIC_REPOSITORY": target.location,
        "RESTIC_PASSWORD": "target's",
        "RESTIC_FROM_REPOSITORY": source.location,
        "RESTIC_FROM_PASSWORD": "source's",
        "TZ": "UTC",
    }
