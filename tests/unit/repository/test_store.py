"""Every provider: the location, the variables, the options; and nothing secret in what is public."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.storage import StoreSpec
from mongo_backup.repository.store import StoreAccess, store_access

SECRET = "s3cr@t:/%?#& '\""
SPECS: dict[str, dict[str, Any]] = {
    "s3": {"provider": "s3", "bucket": "b", "endpoint": "https://s3.example.com/", "region": "eu-1"},
    "gcs": {"provider": "gcs", "bucket": "b", "project": "p"},
    "azure": {"provider": "azure", "container": "c", "endpoint_suffix": "core.example.net"},
    "local": {"provider": "local", "path": "/srv/backups/"},
    "sftp": {"provider": "sftp", "host": "h:2222", "user": "me@dom", "path": "/srv"},
    "rest": {"provider": "rest", "url": "https://h:8000/base/"},
    "b2": {"provider": "b2", "bucket": "b"},
    "rclone": {"provider": "rclone", "remote": "drive:folder"},
}


def access(provider: str, credential: dict[str, Any] | None = None, **changes: Any) -> StoreAccess:
    spec: StoreSpec = TypeAdapter(StoreSpec).validate_python({**SPECS[provider], "prefix": "/pre/fix/", **changes})
    return store_access(spec, Credential.model_validate(credential) if credential else None, "shop")


@pytest.mark.parametrize(
    ("provider", "location"),
    [
        ("s3", "s3:https://s3.example.com/b/pre/fix/shop"),
        ("gcs", "gs:b:/pre/fix/shop"),
        ("azure", "azure:c:/pre/fix/shop"),
        ("local", "/srv/backups/pre/fix/shop"),
        ("sftp", "sftp://me%40dom@h:2222//srv/pre/fix/shop"),
        ("rest", "rest:https://h:8000/base/pre/fix/shop/"),
        ("b2", "b2:b:pre/fix/shop"),
        ("rclone", "rclone:drive:folder/pre/fix/shop"),
    ],
)
def test_location(provider: str, location: str) -> None:
    assert access(provider).location == location


@pytest.mark.parametrize(
    ("provider", "credential", "variables"),
    [
        ("s3", {}, {"AWS_ACCESS_KEY_ID": "login", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "eu-1"}),
        ("s3", {"extra": {"session_token": "tok"}}, {"AWS_SESSION_TOKEN": "tok"}),
        ("gcs", {}, {"GOOGLE_ACCESS_TOKEN": SECRET, "GOOGLE_PROJECT_ID": "p"}),
        ("azure", {}, {"AZURE_ACCOUNT_NAME": "login", "AZURE_ACCOUNT_KEY": SECRET}),
        ("azure", {"extra": {"sas_token": "sas"}}, {"AZURE_ACCOUNT_SAS": "sas"}),
        ("b2", {}, {"B2_ACCOUNT_ID": "login", "B2_ACCOUNT_KEY": SECRET}),
    ],
)
def test_variables(provider: str, credential: dict[str, Any], variables: dict[str, str]) -> None:
    found = access(provider, {"username": "login", "password": SECRET, **credential}).variables
    assert variables.items() <= found.items()


@pytest.mark.parametrize("provider", SPECS)
def test_secrets_stay_out_of_what_is_public(provider: str) -> None:
    extra = dict.fromkeys(("session_token", "private_key", "known_hosts", "rclone_conf"), SECRET)
    found = access(provider, {"username": "login", "password": SECRET, "extra": extra})
    shown = repr(found) + found.location + " ".join([*found.options, *found.file_templates, *found.login_command])
    assert "s3cr" not in shown
    assert SECRET in found.secrets(SECRET)


def test_rest_has_its_password_in_the_location_of_the_environment_alone() -> None:
    found = access("rest", {"username": "me", "password": SECRET})
    location = found.environment("repo-password", base={})["RESTIC_REPOSITORY"]
    assert location == "rest:https://me:s3cr%40t%3A%2F%25%3F%23%26%20%27%22@h:8000/base/pre/fix/shop/"
    assert {SECRET, "s3cr%40t%3A%2F%25%3F%23%26%20%27%22", "repo-password"} <= set(found.secrets("repo-password"))


def test_s3_options() -> None:
    found = access("s3", path_style=True, storage_class="STANDARD_IA", ca_file="/etc/ca.pem")
    assert found.options == (
        "--option=s3.bucket-lookup=path",
        "--option=s3.region=eu-1",
        "--option=s3.storage-class=STANDARD_IA",
        "--cacert",
        "/etc/ca.pem",
    )
    assert access("s3", path_style=False).options[0] == "--option=s3.bucket-lookup=dns"


def test_contents_of_files() -> None:
    assert access("gcs", {"extra": {"keyfile_dict": "{}"}}).file_variables == {"GOOGLE_APPLICATION_CREDENTIALS": "{}"}
    found = access("s3", {"username": "a", "password": "b", "extra": {"ca": "PEM"}})
    assert found.file_options == {"--cacert": "PEM"}


def test_an_identity_is_never_mixed_with_that_of_the_machine() -> None:
    machine = {
        "PATH": "/bin",
        "AWS_SESSION_TOKEN": "of the machine",
        "AWS_ROLE_ARN": "role",
        "RESTIC_PASSWORD_FILE": "/else",
        "MONGO_BACKUP_CREDENTIALS": "/dev/fd/9",
    }
    own = access("s3", {"username": "a", "password": "b"}).environment("pw", base=machine)
    assert own.keys() == {
        *("PATH", "AWS_ROLE_ARN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"),
        *("RESTIC_REPOSITORY", "RESTIC_PASSWORD", "TZ"),
    }
    machines = access("s3").environment("pw", base=machine)
    assert machines["AWS_SESSION_TOKEN"] == "of the machine"


@pytest.mark.parametrize(
    ("provider", "credential"),
    [
        ("s3", {"username": "login"}),
        ("gcs", {"username": "login"}),
        ("azure", {"password": "key"}),
        ("azure", {"username": "login"}),
        ("rest", {"password": "p"}),
        ("b2", {"username": "login"}),
    ],
)
def test_an_incomplete_credential(provider: str, credential: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=f"the credential of the {provider} storage needs"):
        access(provider, credential)


def test_limits_and_sizes_go_to_every_store() -> None:
    wanted = {"upload_limit": "20MiB", "download_limit": "1MiB", "pack_size": "64MiB", "compression": "off"}
    for provider, scheme in {name: {"gcs": "gs"}.get(name, name) for name in SPECS}.items():
        found = access(provider, transfer={"max_connections": 7, **wanted}).options
        assert {"--limit-upload=20480", "--limit-download=1024", "--pack-size=64", "--compression=off"} <= set(found)
        assert f"--option={scheme}.connections=7" in found
        assert not [each for each in access(provider).options if "limit" in each or "pack" in each]


@pytest.mark.parametrize("provider", ["s3", "gcs", "azure", "rest", "b2"])
def test_the_authority_that_is_trusted(provider: str) -> None:
    credential = {"username": "login", "password": SECRET, "extra": {"ca": "PEM"}}
    assert access(provider, credential).file_options == {"--cacert": "PEM"}
    named = access(provider, credential, ca_file="/etc/ca.pem")
    assert named.file_options == {}
    assert named.options[-2:] == ("--cacert", "/etc/ca.pem")


def test_sftp_with_a_key_of_its_own_asks_nobody() -> None:
    found = access("sftp", {"extra": {"private_key": "KEY", "known_hosts": "HOSTS"}})
    assert found.files == {"private_key": "KEY\n", "known_hosts": "HOSTS"}
    (command,) = found.file_templates
    assert command.startswith("--option=sftp.command=ssh -o BatchMode=yes -o Port=2222 ")
    assert command.endswith(" -l me@dom h -s sftp")
    assert "StrictHostKeyChecking=yes" in command
    with pytest.raises(ConfigurationError, match="known_hosts"):
        access("sftp", {"extra": {"private_key": "KEY"}})


def test_rclone_with_a_configuration_of_its_own() -> None:
    assert access("rclone", {"extra": {"rclone_conf": "[drive]"}}).file_variables == {"RCLONE_CONFIG": "[drive]"}
    assert access("rclone").file_variables == {}
    with pytest.raises(ConfigurationError, match="rclone_conf"):
        access("rclone", {"username": "me", "password": SECRET})


def test_what_may_be_asked_without_a_credential() -> None:
    assert access("gcs").question == "https://storage.googleapis.com/storage/v1/b/b/o?maxResults=1"
    azure = {"username": "shop", "password": SECRET}
    assert access("azure", azure, endpoint_suffix=None).question == "https://shop.blob.core.windows.net/"
    assert access("azure", azure).needs == ("0.16", "the Azure endpoint suffix core.example.net")
    assert access("azure", azure, endpoint_suffix=None).needs is None
    assert access("rest", {"username": "me", "password": SECRET}).question == "https://h:8000/base/"
