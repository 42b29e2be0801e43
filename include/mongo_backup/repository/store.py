"""From a BackupStorage and its credential to what restic wants to know: a location, variables, options, files.

Everything here is a pure function. The names of the variables and the forms of the locations are those of restic's
manual, chapter "Preparing a new repository" (https://restic.readthedocs.io/en/stable/030_preparing_a_new_repo.html).
Nothing secret becomes an argument: arguments are public on a machine.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.storage import (
    MIB,
    AzureStore,
    B2Store,
    GcsStore,
    LocalStore,
    RcloneStore,
    RestStore,
    S3Store,
    SftpStore,
    StoreSpec,
)

_AWS_IDENTITY = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
)
_GOOGLE_IDENTITY = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_ACCESS_TOKEN")
_AZURE_IDENTITY = ("AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_KEY", "AZURE_ACCOUNT_SAS")
_AZURE_SUFFIX = "core.windows.net"
REGION_OPTION = "--option=s3.region="
_OUR_PREFIXES = ("RESTIC_", "MONGO_BACKUP_")


@dataclass(frozen=True)
class StoreAccess:
    """How restic reaches one repository.

    :param location: restic's name of the repository, safe to show.
    :param secret_location: the same with a password in it, where the provider wants it there.
    :param variables: environment variables; may be secret.
    :param replaced: variables of our own environment that must not reach restic: they would mix two identities.
    :param options: arguments; never secret.
    :param file_options: arguments whose value is the path of a file with this content.
    :param file_variables: variables whose value is the path of a file with this content.
    :param files: further files by name; `{name}` in an option of `file_templates` stands for the path.
    :param file_templates: options that name such files.
    :param login_command: asks an SFTP server for the session that restic asks for; `{name}` as above.
    :param question: an address that a plain GET without credentials says something about: where restic itself is
        silent about a store that it cannot reach, and whether a bucket is there.
    :param needs: a version of restic below which the store cannot be used, and what for.
    :param kind: the provider; stores of one kind share variables and options.
    """

    location: str
    secret_location: str | None = field(default=None, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    replaced: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    file_options: Mapping[str, str] = field(default_factory=dict, repr=False)
    file_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    file_templates: tuple[str, ...] = ()
    login_command: tuple[str, ...] = ()
    question: str | None = None
    needs: tuple[str, str] | None = None
    kind: str | None = None

    def environment(self, password: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment of a restic process, made from `base` (this process's own).

        In UTC: restic reads and prints times of day without a zone, of which two are the same when clocks go back.
        """
        inherited = {
            name: value
            for name, value in (os.environ if base is None else base).items()
            if not name.startswith(_OUR_PREFIXES) and name not in self.replaced
        }
        repository = {"RESTIC_REPOSITORY": self.secret_location or self.location, "RESTIC_PASSWORD": password}
        return {**inherited, **self.variables, **repository, "TZ": "UTC"}

    def joined_environment(
        self, own: Mapping[str, str], source: StoreAccess, theirs: Mapping[str, str]
    ) -> dict[str, str]:
        """The environment of a process that works on this repository and also reads another one.

        :param own: the environment for this repository.
        :param theirs: the environment for the other one.
        """
        second = {
            "RESTIC_FROM_REPOSITORY": theirs["RESTIC_REPOSITORY"],
            "RESTIC_FROM_PASSWORD": theirs["RESTIC_PASSWORD"],
        }
        return {
            **{name: value for name, value in own.items() if name not in source.replaced},
            **{name: theirs[name] for name in (*source.variables, *source.file_variables)},
            **{name: own[name] for name in (*self.variables, *self.file_variables)},
            **second,
        }

    def secrets(self, password: str) -> tuple[str, ...]:
        """What must never show in a message of restic's that we hand on."""
        userinfo = urlsplit((self.secret_location or "").removeprefix("rest:")).netloc.rpartition("@")[0]
        in_url = userinfo.partition(":")[2]
        named = (value for name, value in self.variables.items() if name.endswith(_SECRET_ENDINGS))
        return tuple(each for each in (password, quote(password, safe=""), in_url, unquote(in_url), *named) if each)


_SECRET_ENDINGS = ("_KEY", "_TOKEN", "_SAS", "_PASSWORD")
_Store = TypeVar("_Store")


def store_access(store: StoreSpec, credential: Credential | None, repository: str) -> StoreAccess:
    """Say how restic reaches the repository in this store.

    :param repository: the repository's folder in the store.
    :raises ConfigurationError: the credential lacks what the provider needs.
    """
    path = "/".join(part for part in (store.prefix.strip("/"), repository.strip("/")) if part)
    access = _PROVIDERS[type(store)](store, credential, path)
    options = (*access.options, *_transfer_options(store), *_authority(store))
    return replace(access, options=options, kind=None if isinstance(store, LocalStore) else store.provider)


def _transfer_options(store: StoreSpec) -> Iterator[str]:
    """Limits and sizes; restic counts limits in KiB, packs in MiB."""
    wanted = store.transfer
    if wanted.upload_limit:
        yield f"--limit-upload={wanted.upload_limit // 1024}"
    if wanted.download_limit:
        yield f"--limit-download={wanted.download_limit // 1024}"
    if wanted.max_connections:
        scheme = {"gcs": "gs"}.get(store.provider, store.provider)
        yield f"--option={scheme}.connections={wanted.max_connections}"
    if wanted.pack_size:
        yield f"--pack-size={wanted.pack_size // MIB}"
    if wanted.compression != "auto":
        yield f"--compression={wanted.compression}"


def _authority(store: StoreSpec) -> tuple[str, ...]:
    ca_file = getattr(store, "ca_file", None)
    return ("--cacert", ca_file) if ca_file else ()


def _authority_file(store: StoreSpec, credential: Credential | None) -> dict[str, str]:
    """The certificate authority out of the credential; `ca_file` says more."""
    ca = credential.secret("ca") if credential else None
    return {"--cacert": ca} if ca and not getattr(store, "ca_file", None) else {}


def _pair(credential: Credential, provider: str) -> tuple[str, str]:
    login, password = credential.username, credential.password_text()
    if not login or not password:
        raise ConfigurationError(f"the credential of the {provider} storage needs a login and a password")
    return login, password


def _s3(store: S3Store, credential: Credential | None, path: str) -> StoreAccess:
    variables: dict[str, str] = {}
    if credential is not None:
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"] = _pair(credential, "s3")
        if token := credential.secret("session_token"):
            variables["AWS_SESSION_TOKEN"] = token
    options: list[str] = []
    if store.path_style is not None:
        options.append(f"--option=s3.bucket-lookup={'path' if store.path_style else 'dns'}")
    if store.region:
        options.append(f"{REGION_OPTION}{store.region}")
        variables["AWS_DEFAULT_REGION"] = store.region
    if store.storage_class:
        options.append(f"--option=s3.storage-class={store.storage_class}")
    return StoreAccess(
        location=f"s3:{store.endpoint.rstrip('/')}/{store.bucket}/{path}",
        variables=variables,
        replaced=_AWS_IDENTITY if credential is not None else (),
        options=tuple(options),
        file_options=_authority_file(store, credential),
        question=store.endpoint,
    )


def _gcs(store: GcsStore, credential: Credential | None, path: str) -> StoreAccess:
    variables: dict[str, str] = {}
    files: dict[str, str] = {}
    if credential is not None:
        keyfile, token = credential.secret("keyfile_dict"), credential.password_text()
        if keyfile:
            files["GOOGLE_APPLICATION_CREDENTIALS"] = keyfile
        elif token:
            variables["GOOGLE_ACCESS_TOKEN"] = token
        else:
            raise ConfigurationError("the credential of the gcs storage needs `keyfile_dict` or an access token")
    if store.project:
        variables["GOOGLE_PROJECT_ID"] = store.project
    return StoreAccess(
        location=f"gs:{store.bucket}:/{path}",
        variables=variables,
        replaced=_GOOGLE_IDENTITY if credential is not None else (),
        file_options=_authority_file(store, credential),
        file_variables=files,
        question=f"https://storage.googleapis.com/storage/v1/b/{quote(store.bucket, safe='')}/o?maxResults=1",
    )


def _azure(store: AzureStore, credential: Credential | None, path: str) -> StoreAccess:
    variables: dict[str, str] = {}
    if credential is not None:
        if not credential.username:
            raise ConfigurationError("the credential of the azure storage needs the account's name as login")
        variables["AZURE_ACCOUNT_NAME"] = credential.username
        if sas := credential.secret("sas_token"):
            variables["AZURE_ACCOUNT_SAS"] = sas
        elif key := credential.password_text():
            variables["AZURE_ACCOUNT_KEY"] = key
        else:
            raise ConfigurationError("the credential of the azure storage needs the account's key or `sas_token`")
    suffix = store.endpoint_suffix or _AZURE_SUFFIX
    if store.endpoint_suffix:
        variables["AZURE_ENDPOINT_SUFFIX"] = store.endpoint_suffix
    return StoreAccess(
        location=f"azure:{store.container}:/{path}",
        variables=variables,
        replaced=_AZURE_IDENTITY if credential is not None else (),
        file_options=_authority_file(store, credential),
        question=f"https://{account}.blob.{suffix}/" if (account := variables.get("AZURE_ACCOUNT_NAME")) else None,
        needs=("0.16", f"the Azure endpoint suffix {suffix}") if suffix != _AZURE_SUFFIX else None,
    )


def _local(store: LocalStore, credential: Credential | None, path: str) -> StoreAccess:
    return StoreAccess(location=f"{store.path.rstrip('/')}/{path}")


def _sftp(store: SftpStore, credential: Credential | None, path: str) -> StoreAccess:
    # As a URL, because only this form takes a port; `//` after the host: an absolute path.
    folder = f"{store.path.rstrip('/')}/{path}"
    location = f"sftp://{quote(store.user, safe='')}@{store.host}/{folder}"
    host, _, port = store.host.partition(":")
    settings = {"BatchMode": "yes", "Port": port or "22"}
    if credential is None:
        return StoreAccess(location=location, login_command=tuple(_ssh(settings, store.user, host)))
    key, known_hosts = credential.secret("private_key"), credential.secret("known_hosts")
    if not key or not known_hosts:
        raise ConfigurationError(
            "the credential of the sftp storage needs the extras `private_key` and `known_hosts` (by ssh-keyscan)"
        )
    settings |= {
        "IdentitiesOnly": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": "{known_hosts}",
        "IdentityFile": "{private_key}",
    }
    command = _ssh(settings, store.user, host)
    return StoreAccess(
        location=location,
        files={"private_key": key if key.endswith("\n") else f"{key}\n", "known_hosts": known_hosts},
        file_templates=(f"--option=sftp.command={shlex.join(command)}",),
        login_command=tuple(command),
    )


def _ssh(settings: Mapping[str, str], user: str, host: str) -> list[str]:
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", *words, "-l", user, host, "-s", "sftp"]


def _rest(store: RestStore, credential: Credential | None, path: str) -> StoreAccess:
    parts = urlsplit(store.url)
    host = parts.netloc.rpartition("@")[2]
    plain = parts._replace(netloc=host, path=f"{parts.path.rstrip('/')}/{path}/", query="", fragment="")
    location = f"rest:{urlunsplit(plain)}"
    question = urlunsplit(parts._replace(netloc=host, query="", fragment=""))
    if credential is None:
        return StoreAccess(location=location, question=question)
    login, password = (quote(each, safe="") for each in _pair(credential, "rest"))
    # In the location, not in RESTIC_REST_USERNAME and _PASSWORD: restic before 0.17 does not know these.
    secret = f"rest:{urlunsplit(plain._replace(netloc=f'{login}:{password}@{host}'))}"
    return StoreAccess(
        location=location,
        secret_location=secret,
        file_options=_authority_file(store, credential),
        question=question,
    )


def _b2(store: B2Store, credential: Credential | None, path: str) -> StoreAccess:
    variables: dict[str, str] = {}
    if credential is not None:
        variables["B2_ACCOUNT_ID"], variables["B2_ACCOUNT_KEY"] = _pair(credential, "b2")
    return StoreAccess(
        location=f"b2:{store.bucket}:{path}",
        variables=variables,
        replaced=("B2_ACCOUNT_ID", "B2_ACCOUNT_KEY") if credential is not None else (),
        file_options=_authority_file(store, credential),
    )


def _rclone(store: RcloneStore, credential: Credential | None, path: str) -> StoreAccess:
    remote, colon, folder = store.remote.partition(":")
    joined = "/".join(part for part in (folder.rstrip("/"), path) if part)
    configuration = credential.secret("rclone_conf") if credential else None
    if credential is not None and not configuration:
        raise ConfigurationError("the credential of the rclone storage needs the extra `rclone_conf`")
    return StoreAccess(
        location=f"rclone:{remote}{colon or ':'}{joined}",
        file_variables={"RCLONE_CONFIG": configuration} if configuration else {},
    )


_PROVIDERS: dict[type[Any], Callable[[Any, Credential | None, str], StoreAccess]] = {
    S3Store: _s3,
    GcsStore: _gcs,
    AzureStore: _azure,
    LocalStore: _local,
    SftpStore: _sftp,
    RestStore: _rest,
    B2Store: _b2,
    RcloneStore: _rclone,
}
