"""Airflow Connections become the document that the agent reads; the connections come from the environment here."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.base import CredentialsReference, SecretReference
from mongo_backup_airflow.hooks.credentials import credentials_document

PASSWORD = "p@ss:w/ %?#&'\" \\ of it"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Any:
    def add(name: str, **fields: Any) -> CredentialsReference:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "generic", **fields}))
        return CredentialsReference(connection=name)

    return add


def handed_over(*references: CredentialsReference | None) -> Credentials:
    """The document as the agent understands it."""
    document = credentials_document(references)
    return Credentials.model_validate({"values": json.loads(document.get_secret_value())})


def test_login_password_and_known_extras(connect: Any) -> None:
    extra = {"ca": "-----BEGIN\nxyz\n", "keyfile_dict": {"type": "service_account"}, "unknown": "stays here"}
    reference = connect("shop", login="backup", password=PASSWORD, extra=extra)
    found = handed_over(reference).get(reference)
    assert found is not None
    assert (found.username, found.password_text()) == ("backup", PASSWORD)
    assert found.secret("ca") == extra["ca"]
    assert json.loads(found.secret("keyfile_dict") or "") == extra["keyfile_dict"]
    assert set(found.extra) == {"ca", "keyfile_dict"}


def test_nothing_and_the_same_twice(connect: Any) -> None:
    reference = connect("shop", password=PASSWORD)
    assert set(handed_over(None, reference, reference, None).values) == {"connection:shop"}
    assert handed_over(None).values == {}


def test_names_with_hyphens(connect: Any) -> None:
    reference = connect("shop-backup", login="u", password="p")
    assert handed_over(reference).get(reference) is not None


def test_a_missing_connection() -> None:
    with pytest.raises(ConfigurationError, match="there is no Airflow Connection 'nowhere'"):
        credentials_document([CredentialsReference(connection="nowhere")])


def test_a_kubernetes_secret() -> None:
    with pytest.raises(ConfigurationError, match="only pods read Kubernetes Secrets"):
        credentials_document([CredentialsReference(secret=SecretReference(name="shop"))])


def test_an_aws_key_as_it_is(connect: Any) -> None:
    extra = {"region_name": "eu-central-1", "endpoint_url": "http://store"}
    reference = connect("s3", conn_type="aws", login="AKIAEXAMPLE", password=PASSWORD, extra=extra)
    found = handed_over(reference).get(reference)
    assert found is not None
    assert (found.username, found.password_text(), found.extra) == ("AKIAEXAMPLE", PASSWORD, {})


def test_an_aws_session_through_the_provider(connect: Any) -> None:
    """Anything beyond a plain key is the amazon provider's business; here a session token."""
    extra = {"aws_session_token": "t0ken/of+session="}
    reference = connect("s3", conn_type="aws", login="AKIAEXAMPLE", password=PASSWORD, extra=extra)
    found = handed_over(reference).get(reference)
    assert found is not None
    assert (found.username, found.password_text()) == ("AKIAEXAMPLE", PASSWORD)
    assert found.secret("session_token") == "t0ken/of+session="


def test_an_aws_connection_without_any_key(connect: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match="gives no key"):
        credentials_document([connect("s3", conn_type="aws")])


def test_values_are_masked_in_logs(connect: Any) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    lines = ["MIIEvQIBADANBgkqhkiG9w0", "AoIBAQC7VJTUt9Us8cKj"]
    credentials_document([connect("shop", password="unguessable one", extra={"certificate_key": "\n".join(lines)})])
    assert redact("said unguessable one", name=None) == "said ***"
    for line in lines:
        assert line not in str(redact(f"key: {line}", name=None))


def test_no_secret_in_its_representation(connect: Any) -> None:
    document = credentials_document([connect("shop", password=PASSWORD)])
    assert PASSWORD not in repr(document) + str(document)
