"""Sets made of real archives, and repositories to copy them from and into."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

from mongo_backup.credentials import Credential
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import ComponentRecord, Manifest
from mongo_backup.manifest.store import MANIFEST_FILE, archive_file, read_manifest, write_document
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.objects.storage import LocalStore, StoreSpec
from mongo_backup.objects.storage import S3Store as S3Spec
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.read import read_file
from mongo_backup.repository.restic import Repository
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode
from sandbox.s3 import S3Store

SESSION = "nightly"
COMPONENTS = ("config", "shard0")


def local(path: Path) -> LocalStore:
    return LocalStore(provider="local", path=str(path))


def s3(store: S3Store, **more: object) -> S3Spec:
    fields = {"bucket": S3Store.DEFAULT_BUCKET, "endpoint": store.endpoint, "path_style": True, "region": "us-east-1"}
    return S3Spec.model_validate({"provider": "s3", **fields, **more})


def credential(store: S3Store) -> Credential:
    return Credential.model_validate({"username": store.key.access_key, "password": store.key.secret_key})


def repository(spec: StoreSpec, key: Credential | None = None, *, name: str = "shop", password: str) -> Repository:
    return Repository(store=spec, credential=key, password=password, name=name, host="shop")


def data(seed: str, size: int = 3_000_000) -> bytes:
    """So many bytes that no other seed makes."""
    return random.Random(seed).randbytes(size)


def save_set(made: Repository, set_id: str, at: datetime, archives: dict[str, bytes]) -> Manifest:
    """A complete set of these archives."""
    components = []
    for name, content in archives.items():
        label = Label(set_id=set_id, component=name, part="archive", session=SESSION)
        with BackupSink(made, label, archive_file(name), at=at) as sink:
            sink.write(content)
            components.append(_component(name, sink.finish().snapshot_id, len(content)))
    manifest = Manifest(
        set_id=set_id,
        configuration="shop",
        session=SESSION,
        started=at,
        finished=at,
        topology=TopologyKind.SHARDED,
        server_version="6.0.5",
        consistency=Consistency.LOCKED,
        components=tuple(components),
        core_version="0",
        restic_version="0",
    )
    label = Label(set_id=set_id, component="manifest", part="manifest", session=SESSION)
    write_document(made, label, MANIFEST_FILE, manifest, at=at)
    return manifest


def _component(name: str, archive_id: str, size: int) -> ComponentRecord:
    member = ChosenMember(component=name, role=ComponentRole.SHARD, host="a:1", state="SECONDARY", mode=ReadMode.LOCK)
    return ComponentRecord(
        name=name,
        role=ComponentRole.SHARD,
        member=member,
        engine="native",
        consistency=Consistency.LOCKED,
        archive_id=archive_id,
        archive_file=archive_file(name),
        documents=1,
        bytes=size,
        bytes_added=size,
        seconds=1,
        read_seconds=1,
    )


def day(number: int) -> datetime:
    return datetime(2026, 3, number, 2, 0, 5, tzinfo=UTC)


def sets(made: Repository) -> list[str]:
    return [each.set_id for each in SetCatalog.read(made).complete()]


def contents(made: Repository, set_id: str) -> dict[str, bytes]:
    """What a restore would read."""
    manifest = read_manifest(made, SetCatalog.read(made).find(set_id))
    return {each.name: read_file(made, each.archive_id, each.archive_file) for each in manifest.components}


def upload(folder: Path, store: S3Store, prefix: str) -> None:
    """A repository as it lies in a folder, into the store's bucket."""
    client = store.client()
    for file in folder.rglob("*"):
        if file.is_file():
            key = f"{prefix}/{file.relative_to(folder).as_posix()}"  # restic's layout is the same in all stores
            client.put_object(Bucket=S3Store.DEFAULT_BUCKET, Key=key, Body=file.read_bytes())
