"""From Airflow Connections to the credentials document of the agent.

Connections are looked up when a task runs, never while DAG files are parsed. Login and password go over as they are;
of a connection's extras only those in `EXTRAS` do, each by its name: an extra may hold anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from pydantic import SecretStr

from mongo_backup.errors import ConfigurationError, TransientError
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.resolved import Objects

if TYPE_CHECKING:
    from airflow.sdk import Connection

EXTRAS = (
    "ca",
    "certificate_key",
    "keyfile_dict",
    "known_hosts",
    "private_key",
    "rclone_conf",
    "sas_token",
    "session_token",
)
"""Extras that the agent understands: PEM texts for TLS, a Google service account, an Azure SAS token, an AWS token, a
key and the known hosts for SFTP, a configuration of rclone."""

AWS_TYPE = "aws"
AWS_KEYS_ALONE = frozenset({"region_name", "endpoint_url", "service_config", "config_kwargs", "verify"})
"""Extras of a connection of type `aws` beside which login and password are simply the key itself."""

SHORTEST_MASKED = 5


def backup_references(objects: Objects) -> Iterator[CredentialsReference | None]:
    """What a backup needs."""
    yield objects.target.spec.credentials
    yield from repository_references(objects)


def repository_references(objects: Objects) -> Iterator[CredentialsReference | None]:
    """What the repository alone needs."""
    yield objects.storage.spec.credentials
    yield objects.configuration.spec.encryption


def copy_references(objects: Objects, copy: str) -> Iterator[CredentialsReference | None]:
    """What copying needs: both stores' keys, both repositories' passwords, nothing of the target."""
    yield from repository_references(objects)
    yield from repository_references(objects.of_copy(copy))


def restore_references(objects: Objects, target: AppBinding) -> Iterator[CredentialsReference | None]:
    """What a restore into `target` needs."""
    yield from backup_references(objects)
    yield target.spec.credentials
    yield target.spec.restore_credentials


def secret_names(references: Iterable[CredentialsReference | None]) -> tuple[str, ...]:
    """The Kubernetes Secrets among the references: pods get them without a detour over the worker."""
    names = (each.secret.name for each in references if each is not None and each.secret is not None)
    return tuple(dict.fromkeys(names))


def credentials_document(
    references: Iterable[CredentialsReference | None], *, secrets_elsewhere: bool = False
) -> SecretStr:
    """Look the references up and return the JSON document that `mongo_backup.credentials` describes.

    :param secrets_elsewhere: leave out Kubernetes Secrets: the step runs in a pod, which mounts them.
    :raises ConfigurationError: a connection does not exist, or a reference cannot be read by a worker.
    :raises TransientError: the cloud did not hand out its key.
    """
    wanted = {
        reference.key: reference
        for reference in references
        if reference is not None and not (secrets_elsewhere and reference.secret is not None)
    }
    return SecretStr(json.dumps({key: _look_up(reference) for key, reference in wanted.items()}))


def _look_up(reference: CredentialsReference) -> dict[str, Any]:
    if reference.connection is None:
        raise ConfigurationError(
            f"{reference.key}: only pods read Kubernetes Secrets, and this step runs on the worker: "
            "write `connection: <id of an Airflow Connection>` instead"
        )
    connection = _connection(reference.connection)
    extras = connection.extra_dejson or {}
    if connection.conn_type == AWS_TYPE and not _is_plain_key(connection, extras):
        found = _aws_key(reference.connection)
    else:
        found = {"username": connection.login, "password": connection.password, "extra": _extras(extras)}
    _mask(found)
    return {name: value for name, value in found.items() if value}


def _connection(name: str) -> Connection:
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"there is no Airflow Connection {name!r}: create it (Admin, Connections), "
            f"or set AIRFLOW_CONN_{name.upper()} for the worker"
        ) from None


def _extras(extras: dict[str, Any]) -> dict[str, str]:
    chosen = {name: extras[name] for name in EXTRAS if extras.get(name)}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in chosen.items()}


def _is_plain_key(connection: Connection, extras: dict[str, Any]) -> bool:
    return bool(connection.login and connection.password) and set(extras) <= AWS_KEYS_ALONE


def _aws_key(connection: str) -> dict[str, Any]:
    """Let the amazon provider do what it knows: profiles, roles to assume, web identities, instance profiles.

    A role's key ends after a time (the connection's `assume_role_kwargs.DurationSeconds`): it must outlast a step.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = AwsBaseHook(aws_conn_id=connection, client_type="s3").get_session().get_credentials()
        key = found.get_frozen_credentials() if found is not None else None
    except (BotoCoreError, ClientError) as error:
        words = (
            f"connection {connection!r}: AWS handed out no key ({_reason(error)}): check its role, profile and region"
        )
        raise (ConfigurationError if _is_refusal(error) else TransientError)(words) from error
    if key is None:
        raise ConfigurationError(
            f"connection {connection!r} of type aws gives no key: write login and password, a role or a profile"
        )
    extra = {"session_token": key.token} if key.token else {}
    return {"username": key.access_key, "password": key.secret_key, "extra": extra}


def _reason(error: Exception) -> str:
    """What AWS says, by its code: its sentences may hold anything."""
    return str(_answer(error, "Error").get("Code") or type(error).__name__)


def _is_refusal(error: Exception) -> bool:
    """Whether asking again is of no use: AWS answered, and was neither out of order nor asked too often."""
    status = _answer(error, "ResponseMetadata").get("HTTPStatusCode", 500)
    return 400 <= status < 500 and status != 429 and not re.search("Throttl|LimitExceeded", _reason(error))


def _answer(error: Exception, part: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(error, "response", {}).get(part, {})
    return found


def _mask(found: dict[str, Any]) -> None:
    """Let Airflow blot the values out of every log, line by line as they would appear."""
    for value in (found["password"], *found["extra"].values()):
        for text in (value, *(value or "").splitlines()):
            if text and len(text) >= SHORTEST_MASKED:
                mask_secret(text)
