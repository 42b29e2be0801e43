"""An `aws` Connection with a role: the amazon provider asks STS for a key, and restic works with it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, MongoBackupError, TransientError
from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.storage import S3Store
from mongo_backup.repository.restic import Repository
from mongo_backup_airflow.hooks.credentials import credentials_document
from sandbox.stores.aws import REGION, AwsAccount

pytestmark = pytest.mark.integration

REFERENCE = CredentialsReference(connection="store")


@pytest.fixture(scope="module")
def account() -> Iterator[AwsAccount]:
    with AwsAccount() as made:
        yield made


def repository(account: AwsAccount) -> Repository:
    """As a step opens it: by what the Connection gives."""
    document = json.loads(credentials_document([REFERENCE]).get_secret_value())
    spec = S3Store(provider="s3", bucket=account.bucket_name, endpoint=account.endpoint, region=REGION, path_style=True)
    key = Credentials(values=document).get(REFERENCE)
    return Repository(store=spec, credential=key, password="a word", name="shop", host="shop")


def test_the_role_may_what_the_user_may_not(account: AwsAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STORE", account.connection(role_arn=account.role))
    with repository(account) as by_the_role:
        assert by_the_role.ensure().created
        assert by_the_role.snapshots() == ()
    monkeypatch.setenv("AIRFLOW_CONN_STORE", account.connection())
    with repository(account) as by_the_user, pytest.raises(MongoBackupError, match=r"(?i)denied|forbidden|refuse"):
        by_the_user.exists()


@pytest.mark.parametrize("field", ["login", "password"])
def test_no_role_without_a_right_key(account: AwsAccount, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    connection = json.loads(account.connection(role_arn=account.role))
    connection[field] = "AWRONGONE00000000000"
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(connection))
    with pytest.raises(ConfigurationError, match="connection 'store': AWS handed out no key"):
        repository(account)


def test_sts_is_away(account: AwsAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = {"sts": {"endpoint_url": "http://127.0.0.1:9", "config_kwargs": {"retries": {"max_attempts": 0}}}}
    monkeypatch.setenv("AIRFLOW_CONN_STORE", account.connection(role_arn=account.role, service_config=nowhere))
    with pytest.raises(TransientError, match=r"connection 'store': AWS handed out no key \(EndpointConnectionError\)"):
        repository(account)
