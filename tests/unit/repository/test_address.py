"""A repository's address leads back to the same repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from mongo_backup.errors import ConfigurationError
from mongo_backup.repository.address import store_of
from mongo_backup.repository.store import store_access


@pytest.mark.parametrize(
    "location",
    [
        "/backups/mongodb/shop",
        "s3:https://s3.amazonaws.com/bucket/shop",
        "s3:http://127.0.0.1:8333/bucket/a/b/shop",
        "gs:bucket:/mongodb/shop",
        "azure:container:/shop",
        "b2:bucket:mongodb/shop",
        "rest:https://store.example:8000/mongodb/shop/",
        "sftp://backup@store.example:2222//srv/backups/shop",
        "rclone:remote:mongodb/shop",
    ],
)
def test_there_and_back(location: str) -> None:
    store, name = store_of(location)
    assert name == "shop"
    assert store_access(store, None, name).location == location


@pytest.mark.parametrize(
    ("short", "location"),
    [
        ("s3:s3.eu-west-1.amazonaws.com/bucket/shop", "s3:https://s3.eu-west-1.amazonaws.com/bucket/shop"),
        ("sftp:backup@store.example:/srv/shop", "sftp://backup@store.example//srv/shop"),
        ("local:/backups/shop", "/backups/shop"),
        ("backups/shop", str(Path.cwd() / "backups" / "shop")),
    ],
)
def test_short_forms(short: str, location: str) -> None:
    store, name = store_of(short)
    assert store_access(store, None, name).location == location


@pytest.mark.parametrize(
    "wrong", ["s3:https://host/bucket", "gs:bucket", "sftp:nowhere", "/", "", "rest:https://host/"]
)
def test_what_cannot_be_read(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="address cannot be read"):
        store_of(wrong)


def test_a_login_does_not_belong_there() -> None:
    with pytest.raises(ConfigurationError, match="RESTIC_REST_PASSWORD") as raised:
        store_of("rest:https://me:s3cret@host/shop")
    assert "s3cret" not in str(raised.value)
