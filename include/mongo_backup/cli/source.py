"""Where a command finds its sets: a configuration's repository, or one of which only address and password are known."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mongo_backup.cli.common import load_credentials, load_objects
from mongo_backup.errors import ConfigurationError, PreconditionError

if TYPE_CHECKING:
    from mongo_backup.credentials import Credential, Credentials
    from mongo_backup.manifest.model import Manifest
    from mongo_backup.objects.resolved import Objects
    from mongo_backup.objects.storage import StoreSpec
    from mongo_backup.repository.restic import Repository

PASSWORD, PASSWORD_FILE = "RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE"
REST_USER, REST_PASSWORD = "RESTIC_REST_USERNAME", "RESTIC_REST_PASSWORD"

ConfigurationArgument = Annotated[
    str | None, typer.Argument(help="Name of the BackupConfiguration; not with --repository.", show_default=False)
]
RepositoryOption = Annotated[
    str | None,
    typer.Option(
        "--repository",
        help="The repository's address as restic writes it, instead of a configuration. The password comes from "
        f"{PASSWORD}, {PASSWORD_FILE}, or is asked for; the store's keys come from the environment, as restic wants "
        "them (AWS_ACCESS_KEY_ID, ...).",
        envvar="RESTIC_REPOSITORY",
        show_envvar=True,
        show_default=False,
    ),
]
CopyOption = Annotated[
    str | None,
    typer.Option("--copy", help="Name of a copy: its repository, not the configuration's.", show_default=False),
]
SET_HELP = "Id of a set, or `latest`."


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the command line says."""

    configuration: str | None
    objects: Path
    credentials: Path | None
    repository: str | None
    copy: str | None = None

    def __post_init__(self) -> None:
        """Refuse what says nothing. A configuration wins over an address in the environment.

        :raises ConfigurationError: neither a configuration nor an address.
        """
        if self.configuration is None and self.repository is None:
            raise ConfigurationError(
                "which sets? Name a BackupConfiguration, or give --repository ADDRESS, such as "
                "s3:https://store.example/backups/mongodb/shop"
            )
        if self.configuration is None and self.copy is not None:
            raise ConfigurationError("--copy is a name in a BackupConfiguration: name that, or give the copy's address")

    @property
    def by_address(self) -> bool:
        """Without objects."""
        return self.configuration is None

    @contextmanager
    def open(self) -> Iterator[Repository]:
        """Open the repository; it must be there.

        :raises MongoBackupError: it is not, or the password is wrong.
        """
        from mongo_backup.repository.restic import Repository

        if self.configuration is not None:
            resolved = self._resolved(self.configuration)
            with Repository.of(
                configuration=resolved.configuration,
                storage=resolved.storage,
                credentials=load_credentials(self.credentials),
            ) as repository:
                yield repository
            return
        store, name = self._address()
        with Repository(
            store=store, credential=_rest_login(), password=repository_password(), name=name, host=name
        ) as repository:
            repository.host = _only_host(repository)
            yield repository

    def _resolved(self, configuration: str) -> Objects:
        return resolve(self.objects, configuration, copy=self.copy)

    def _address(self) -> tuple[StoreSpec, str]:
        from mongo_backup.repository.address import store_of

        return store_of(self.repository or "")

    def resolve(self, manifest: Manifest) -> tuple[Objects, Credentials]:
        """The objects of a set and the credentials that they name: those of the configuration, or of the manifest.

        :raises ConfigurationError: the manifest holds none that can be read.
        """
        credentials = load_credentials(self.credentials)
        if self.configuration is not None:
            return self._resolved(self.configuration), credentials
        return self._from_manifest(manifest, credentials)

    def _from_manifest(self, manifest: Manifest, credentials: Credentials) -> tuple[Objects, Credentials]:
        from mongo_backup.credentials import Credential, Credentials
        from mongo_backup.manifest.objects import objects_of
        from mongo_backup.objects.base import CredentialsReference

        found, (store, name), login = objects_of(manifest), self._address(), _rest_login()
        then = found.storage.spec
        # The address wins; what it does not tell (a region, say) is as it was, where the store is of the same kind.
        told = store.model_dump(exclude_unset=True)
        spec = then.model_copy(update=told) if then.provider == store.provider else store
        reference = CredentialsReference(connection="store") if login else None
        spec = spec.model_copy(update={"credentials": reference})
        configuration = found.configuration
        named = configuration.spec.model_copy(update={"repository": name})
        values = {
            **credentials.values,
            configuration.spec.encryption.key: Credential.model_validate({"password": repository_password()}),
            **({reference.key: login} if login and reference else {}),
        }
        objects = found.model_copy(
            update={
                "configuration": configuration.model_copy(update={"spec": named}),
                "storage": found.storage.model_copy(update={"spec": spec}),
            }
        )
        return objects, Credentials(values=values)


def resolve(folder: Path, configuration: str, *, copy: str | None = None, session: str | None = None) -> Objects:
    """The objects of a configuration, or those of one of its copies.

    :raises ConfigurationError: there is no such configuration, session or copy, or it has errors.
    """
    resolved = load_objects(folder).resolve(configuration, session)
    return resolved if copy is None else resolved.of_copy(copy)


_asked: list[str] = []


def repository_password() -> str:
    """The repository's password, from where restic itself takes it, or from a person; hidden in all that is shown.

    :raises ConfigurationError: it is nowhere.
    """
    from mongo_backup import logs

    if not _asked:
        found = os.environ.get(PASSWORD) or _from_file(os.environ.get(PASSWORD_FILE))
        if not found and sys.stdin.isatty():
            found = getpass("Password of the repository (not shown while you type): ")
        if not found:
            raise ConfigurationError(f"the repository's password is missing: set {PASSWORD_FILE} or {PASSWORD}")
        logs.hide([found])
        _asked.append(found)
    return _asked[0]


def _from_file(path: str | None) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{PASSWORD_FILE}: {path} cannot be read: {error.strerror}") from None


def _rest_login() -> Credential | None:
    from mongo_backup import logs
    from mongo_backup.credentials import Credential

    user, password = os.environ.get(REST_USER), os.environ.get(REST_PASSWORD)
    if not (user and password):
        return None
    logs.hide([password])
    return Credential.model_validate({"username": user, "password": password})


def _only_host(repository: Repository) -> str:
    """The configuration whose sets are in the repository: restic calls it the host.

    :raises PreconditionError: there are none, or of several.
    """
    hosts = sorted({each.hostname for each in repository.snapshots(all_hosts=True) if each.tag("set")})
    if not hosts:
        raise PreconditionError(f"the repository {repository.location} has no set of this product")
    if len(hosts) > 1:
        raise PreconditionError(
            f"the repository holds sets of several configurations ({', '.join(hosts)}): write an object for one of them"
        )
    return hosts[0]
