"""`kind: BackupStorage`: where repositories are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, KubernetesStyleObject


class _Store(Model):
    """What stores have in common."""

    prefix: str = ""
    """A folder inside the bucket or below the path; each configuration gets a folder of its own in it."""
    credentials: CredentialsReference | None = None
    """None where the machine or pod has an identity of its own."""


class S3Store(_Store):
    """Amazon S3 and every server that speaks its protocol. Credential: login = access key, password = secret key."""

    provider: Literal["s3"]
    bucket: str
    endpoint: str = "https://s3.amazonaws.com"
    """With scheme: `https://...`, or `http://...` for a server on a trusted network."""
    region: str | None = None
    path_style: bool | None = None
    """True: the bucket in the path, false: in the host name, none: as restic judges by the endpoint."""
    storage_class: str | None = None
    ca_file: str | None = None
    """A PEM file with the store's certificate authority, where the agent runs."""


class GcsStore(_Store):
    """Google Cloud Storage. Credential: extra `keyfile_dict` (service account key, JSON) or password = access token."""

    provider: Literal["gcs"]
    bucket: str
    project: str | None = None
    endpoint: str | None = None


class AzureStore(_Store):
    """Azure Blob Storage. Credential: login = account name, password = account key (or extra `sas_token`)."""

    provider: Literal["azure"]
    container: str
    endpoint_suffix: str | None = None


class LocalStore(_Store):
    """A folder of the machine or a volume mounted into the pods."""

    provider: Literal["local"]
    path: str


class SftpStore(_Store):
    """A server reached by SFTP with a key that the agent's machine has."""

    provider: Literal["sftp"]
    host: str
    user: str
    path: str


class RestStore(_Store):
    """restic's REST server. Credential: login and password."""

    provider: Literal["rest"]
    url: str


class B2Store(_Store):
    """Backblaze B2. Credential: login = account id, password = application key."""

    provider: Literal["b2"]
    bucket: str


class RcloneStore(_Store):
    """Any remote of rclone's configuration."""

    provider: Literal["rclone"]
    remote: str


StoreSpec = Annotated[
    S3Store | GcsStore | AzureStore | LocalStore | SftpStore | RestStore | B2Store | RcloneStore,
    Field(discriminator="provider"),
]


class BackupStorage(KubernetesStyleObject):
    """A place for repositories."""

    kind: Literal["BackupStorage"] = "BackupStorage"
    spec: StoreSpec
