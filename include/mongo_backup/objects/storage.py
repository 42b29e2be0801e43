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
    """`s3`."""
    bucket: str
    """The bucket; it must exist."""
    endpoint: str = "https://s3.amazonaws.com"
    """With scheme: `https://...`, or `http://...` for a server on a trusted network."""
    region: str | None = None
    """The region, where the server wants one."""
    path_style: bool | None = None
    """True: the bucket in the path, false: in the host name, none: as restic judges by the endpoint."""
    storage_class: str | None = None
    """The class of new objects, such as `STANDARD_IA`; not one that must be thawed before it is read."""
    ca_file: str | None = None
    """A PEM file with the store's certificate authority, where the agent runs."""


class GcsStore(_Store):
    """Google Cloud Storage. Credential: extra `keyfile_dict` (service account key, JSON) or password = access token."""

    provider: Literal["gcs"]
    """`gcs`."""
    bucket: str
    """The bucket; it must exist."""
    project: str | None = None
    """The project's id, where the credential does not say it."""
    endpoint: str | None = None
    """Another address than Google's own, for tests."""


class AzureStore(_Store):
    """Azure Blob Storage. Credential: login = account name, password = account key (or extra `sas_token`)."""

    provider: Literal["azure"]
    """`azure`."""
    container: str
    """The container; it must exist."""
    endpoint_suffix: str | None = None
    """Another suffix than `core.windows.net`, for sovereign clouds."""


class LocalStore(_Store):
    """A folder of the machine or a volume mounted into the pods."""

    provider: Literal["local"]
    """`local`."""
    path: str
    """The folder, as seen by the agent."""


class SftpStore(_Store):
    """A server reached by SFTP with a key that the agent's machine has."""

    provider: Literal["sftp"]
    """`sftp`."""
    host: str
    """The server's name."""
    user: str
    """The user there."""
    path: str
    """The folder there."""


class RestStore(_Store):
    """restic's REST server. Credential: login and password."""

    provider: Literal["rest"]
    """`rest`."""
    url: str
    """The server's address, without user and password: `https://backups.example.net:8000/`."""


class B2Store(_Store):
    """Backblaze B2. Credential: login = account id, password = application key."""

    provider: Literal["b2"]
    """`b2`."""
    bucket: str
    """The bucket; it must exist."""


class RcloneStore(_Store):
    """Any remote of rclone's configuration."""

    provider: Literal["rclone"]
    """`rclone`."""
    remote: str
    """The remote's name and path, such as `archive:mongodb`."""


StoreSpec = Annotated[
    S3Store | GcsStore | AzureStore | LocalStore | SftpStore | RestStore | B2Store | RcloneStore,
    Field(discriminator="provider"),
]


class BackupStorage(KubernetesStyleObject):
    """A place for repositories."""

    kind: Literal["BackupStorage"] = "BackupStorage"
    """`BackupStorage`."""
    spec: StoreSpec
    """The store; `provider` says which kind."""
