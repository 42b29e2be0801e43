"""Credentials as they reach the agent in a pod: a folder of mounted Secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mongo_backup.credentials import CREDENTIALS_VARIABLE, read_credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.base import CredentialsReference, SecretReference

PASSWORD = "p@ss:w/ %?#&'\" one"


def mounted(folder: Path, values: dict[str, str]) -> None:
    """As the kubelet does it: files are links into a hidden folder that it can change in one go."""
    data = folder / "..2026_11_22" / "x"
    data.parent.mkdir(parents=True)
    for name, value in values.items():
        (data.parent / name).write_text(value)
    (folder / "..data").symlink_to(data.parent.name)
    for name in values:
        (folder / name).symlink_to(f"..data/{name}")


def test_a_folder_holds_the_runs_document_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted(tmp_path / "run", {"credentials.json": '{"connection:shop": {"username": "b", "password": "x"}}'})
    mounted(tmp_path / "secret" / "shop-auth", {"username": "backup\n", "password": PASSWORD, "ca": "PEM\n"})
    monkeypatch.setenv(CREDENTIALS_VARIABLE, str(tmp_path))
    found = read_credentials()
    assert set(found.values) == {"connection:shop", "secret:shop-auth"}
    secret = found.get(CredentialsReference(secret=SecretReference(name="shop-auth")))
    assert secret is not None
    assert (secret.username, secret.password_text(), secret.secret("ca")) == ("backup", PASSWORD, "PEM")


def test_a_folder_without_a_document_is_enough(tmp_path: Path) -> None:
    mounted(tmp_path / "secret" / "repo", {"password": PASSWORD})
    assert set(read_credentials(str(tmp_path)).values) == {"secret:repo"}


def test_what_is_wrong_is_never_quoted(tmp_path: Path) -> None:
    mounted(tmp_path / "run", {"credentials.json": PASSWORD})
    with pytest.raises(ConfigurationError) as caught:
        read_credentials(str(tmp_path))
    assert PASSWORD not in str(caught.value)
