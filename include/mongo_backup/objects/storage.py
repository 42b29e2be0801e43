"""`kind: BackupStorage`: where repositories are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, KubernetesStyleObject
from mongo_backup.objects.quantities import Size

MIB = 1 << 20


class Transfer(Model):
    """How data are moved and packed: limits, sizes, compression, cache."""

    upload_limit: Annotated[Size, Field(ge=1024)] | None = None
    """Bytes per second that each writing process may send, such as `20MiB`; none: no limit. Components are dumped side
    by side: together they send more."""
    download_limit: Annotated[Size, Field(ge=1024)] | None = None
    """Bytes per second that each reading process may receive; none: no limit."""
    max_connections: int | None = Field(default=None, ge=1, le=128)
    """Requests at a time of each process; none: restic's 5 (a local folder: 2)."""
    pack_size: Annotated[Size, Field(ge=4 * MIB, le=128 * MIB)] | None = None
    """Size of the objects that are written, 4 to 128 MiB; none: restic's 16 MiB. Larger ones are fewer: for slow stores
    and those that charge by request."""
    compression: Literal["auto", "off", "max"] = "auto"
    """`auto` is quick and good, `max` slow and a little better, `off` for data that are compressed already."""
    cache: str | None = None
    """A folder where the agent runs that outlives it, for restic's cache of indexes (never of data); none: no cache.
    Saves downloads with large repositories."""


class _Store(Model):
    """What stores have in common."""

    prefix: str = ""
    """A folder inside the bucket or below the path; each configuration gets a folder of its own in it."""
    credentials: CredentialsReference | None = None
    """None where the machine or pod has an identity of its own."""
    transfer: Transfer = Transfer()
    """How data are moved and packed."""
    pool: str | None = None
    """An Airflow pool for what works on this store alone (commit, retention), and for dumps and restores whose
    configuration and target name none."""


class _HttpStore(_Store):
    """What stores behind HTTPS have in common."""

    ca_file: str | None = None
    """A PEM file with the store's certificate authority, where the agent runs; the credential's extra `ca` does too."""


class S3Store(_HttpStore):
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


class GcsStore(_HttpStore):
    """Google Cloud Storage. Credential: extra `keyfile_dict` (service account key, JSON) or password = access token."""

    provider: Literal["gcs"]
    """`gcs`."""
    bucket: str
    """The bucket; it must exist."""
    project: str | None = None
    """The project's id, where the credential does not say it."""


class AzureStore(_HttpStore):
    """Azure Blob Storage. Credential: login = account name, password = account key (or extra `sas_token`)."""

    provider: Literal["azure"]
    """`azure`."""
    container: str
    """The container; it must exist."""
    endpoint_suffix: str | None = None
    """Another suffix than `core.windows.net`, for sovereign clouds; needs restic 0.16 or newer."""


class LocalStore(_Store):
    """A folder of the machine or a volume mounted into the pods."""

    provider: Literal["local"]
    """`local`."""
    path: str
    """The folder, as seen by the agent."""


class SftpStore(_Store):
    """A server reached by SFTP. Credential: extras `private_key`, `known_hosts`; none: what the machine's ssh knows."""

    provider: Literal["sftp"]
    """`sftp`."""
    host: str
    """The server's name, with `:port` where it is not 22."""
    user: str
    """The user there."""
    path: str
    """The folder there."""


class RestStore(_HttpStore):
    """restic's REST server. Credential: login and password."""

    provider: Literal["rest"]
    """`rest`."""
    url: str
    """The server's address, without user and password: `https://backups.example.net:8000/`."""


class B2Store(_HttpStore):
    """Backblaze B2. Credential: login = account id, password = application key."""

    provider: Literal["b2"]
    """`b2`."""
    bucket: str
    """The bucket; it must exist."""


class RcloneStore(_Store):
    """Any remote of rclone, which must be installed. Credential: extra `rclone_conf`; none: the machine's own."""

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
