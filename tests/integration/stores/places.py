"""What the contract needs to know of each store: where it is, its credential, and how each mistake looks there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from mongo_backup.credentials import Credential
from mongo_backup.errors import ConfigurationError, MongoBackupError, PreconditionError, TransientError
from mongo_backup.objects.storage import StoreSpec
from sandbox.s3 import S3Store
from sandbox.stores import azure, gcs
from sandbox.stores.servers import RestServer, SftpServer
from sandbox.stores.wire import Wire
from sandbox.workspace import Workspace

Mistake = tuple[dict[str, Any], dict[str, Any] | None, type[MongoBackupError], str]
"""Changes to the store, another credential, the error and a part of its words."""


@dataclass(frozen=True)
class Place:
    """One store.

    :param wire: what can be cut; None: there is no network in between.
    :param proxy: https_proxy for the agent.
    :param mistakes: by what is wrong.
    :param untouched: says whether no bucket of that name was made.
    """

    spec: dict[str, Any]
    credential: dict[str, Any] | None
    mistakes: dict[str, Mistake]
    wire: Wire | None = None
    proxy: str | None = None
    untouched: Callable[[str], bool] = field(default=lambda _: True)

    def store(self, **changes: Any) -> StoreSpec:
        """The object's spec."""
        spec: StoreSpec = TypeAdapter(StoreSpec).validate_python({**self.spec, "prefix": "pre/fix", **changes})
        return spec

    def credential_of(self, values: dict[str, Any] | None) -> Credential | None:
        """A credential of these values."""
        return None if values is None else Credential.model_validate(values)


MISSING = "no-such-bucket"


@contextmanager
def place(name: str, s3: Callable[[], S3Store]) -> Iterator[Place]:
    """Start a store; it is gone at the end.

    :param s3: gives the S3 store that all tests share.
    """
    with ExitStack() as stack:
        if name == "s3":
            shared = s3()
            target = shared.endpoint.removeprefix("http://").split(":")
            yield _s3(shared, stack.enter_context(Wire((target[0], int(target[1])))))
        else:
            yield _PLACES[name](stack)


def _s3(store: S3Store, wire: Wire) -> Place:
    key, secret = store.key.access_key, store.key.secret_key
    return Place(
        spec={
            "provider": "s3",
            "bucket": S3Store.DEFAULT_BUCKET,
            "endpoint": f"http://{wire.address}",
            "path_style": True,
            "region": "us-east-1",
            "storage_class": "STANDARD",
        },
        credential={"username": key, "password": secret},
        wire=wire,
        mistakes={
            "bucket": ({"bucket": MISSING}, None, *_no_bucket()),
            "key": ({}, {"username": key, "password": "wrong"}, *_denied()),
            "address": ({"endpoint": "http://127.0.0.1:9"}, None, *_unreachable()),
        },
        untouched=lambda bucket: bucket not in {each["Name"] for each in store.client().list_buckets()["Buckets"]},
    )


def _gcs(stack: ExitStack) -> Place:
    store = stack.enter_context(gcs.GoogleStorage())
    return Place(
        spec={"provider": "gcs", "bucket": store.bucket_name, "project": "shop", "ca_file": str(store.ca_file)},
        credential={"password": gcs.TOKEN},
        wire=store.wire,
        proxy=store.proxy,
        mistakes={
            "bucket": ({"bucket": MISSING}, None, *_no_bucket()),
            "token": ({}, {"password": "ya29.expired"}, *_denied()),
            "keyfile": ({}, {"extra": {"keyfile_dict": '{"type": "service_account"}'}}, *_denied()),
            "authority": ({"ca_file": None}, None, *_untrusted()),
        },
        untouched=lambda bucket: bucket not in store.buckets(),
    )


def _azure(stack: ExitStack) -> Place:
    store = stack.enter_context(azure.AzureStorage())
    return Place(
        spec={"provider": "azure", "container": store.container_name, "ca_file": str(store.ca_file)},
        credential={"username": azure.ACCOUNT, "password": azure.KEY},
        wire=store.wire,
        proxy=store.proxy,
        mistakes={
            "container": ({"container": MISSING}, None, *_no_bucket()),
            "key": ({}, {"username": azure.ACCOUNT, "password": "d3Jvbmc="}, *_denied()),
            "key's form": ({}, {"username": azure.ACCOUNT, "password": "no*base64"}, *_denied()),
            "authority": ({"ca_file": None}, None, *_untrusted()),
            "suffix": ({"endpoint_suffix": "core.example.net"}, None, *_old_restic()),
        },
        untouched=lambda container: not store.has_container(container),
    )


def _local(stack: ExitStack) -> Place:
    folder = stack.enter_context(Workspace("folder")).path
    return Place(
        spec={"provider": "local", "path": str(folder)},
        credential=None,
        mistakes={"folder": ({"path": str(folder / "gone")}, None, *_configuration("mount the volume"))},
        untouched=lambda _: not (folder / "gone").exists(),
    )


def _sftp(stack: ExitStack) -> Place:
    server = stack.enter_context(SftpServer())
    extra = {"private_key": server.private_key, "known_hosts": server.known_hosts}
    other = stack.enter_context(SftpServer())
    return Place(
        spec={"provider": "sftp", "host": server.address, "user": server.user, "path": str(server.folder)},
        credential={"extra": extra},
        mistakes={
            "key": ({}, {"extra": {**extra, "private_key": other.private_key}}, *_denied()),
            "host": ({}, {"extra": {**extra, "known_hosts": other.known_hosts}}, *_untrusted()),
            "address": ({"host": "127.0.0.1:9"}, None, *_unreachable()),
        },
    )


def _rest(stack: ExitStack) -> Place:
    server = stack.enter_context(RestServer())
    authority = server.ca_file.read_text()
    return Place(
        spec={"provider": "rest", "url": f"https://{server.address}/"},
        credential={"username": server.login, "password": server.password, "extra": {"ca": authority}},
        mistakes={
            "password": ({}, {"username": "shop", "password": "wrong", "extra": {"ca": authority}}, *_denied()),
            "authority": ({}, {"username": server.login, "password": server.password}, *_untrusted()),
            "address": ({"url": "https://127.0.0.1:9/"}, None, *_unreachable()),
        },
    )


def _rclone(stack: ExitStack) -> Place:
    folder = stack.enter_context(Workspace("rclone")).path
    configuration = f"[archive]\ntype = alias\nremote = {folder}\n"
    return Place(
        spec={"provider": "rclone", "remote": "archive:sets"},
        credential={"extra": {"rclone_conf": configuration}},
        mistakes={"remote": ({"remote": "nowhere:sets"}, None, *_configuration("rclone has no remote of that name"))},
    )


_PLACES: dict[str, Callable[[ExitStack], Place]] = {
    "gcs": _gcs,
    "azure": _azure,
    "local": _local,
    "sftp": _sftp,
    "rest": _rest,
    "rclone": _rclone,
}


def _configuration(words: str) -> tuple[type[MongoBackupError], str]:
    return ConfigurationError, words


def _no_bucket() -> tuple[type[MongoBackupError], str]:
    return _configuration("bucket or container does not exist")


def _denied() -> tuple[type[MongoBackupError], str]:
    return _configuration("the store denies access")


def _untrusted() -> tuple[type[MongoBackupError], str]:
    return _configuration("certificate, host key or protocol is not as expected")


def _unreachable() -> tuple[type[MongoBackupError], str]:
    return TransientError, "the store cannot be reached"


def _old_restic() -> tuple[type[MongoBackupError], str]:
    return PreconditionError, "needs 0.16 or newer"
