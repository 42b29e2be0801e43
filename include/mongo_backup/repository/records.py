"""What restic prints with `--json`, as far as we read it. Fields that we do not know are ignored: versions differ."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class ResticRecord(BaseModel):
    """A frozen value out of restic's output."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Snapshot(ResticRecord):
    """One restic snapshot (`restic snapshots --json`)."""

    id: str
    time: datetime
    hostname: str = ""
    tags: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    tree: str = ""
    """The digest of all that is in it: two snapshots with the same tree have the same content, in any repository."""
    original: str | None = None
    """Of a copy: the snapshot that it is a copy of."""

    @property
    def origin(self) -> str:
        """The snapshot that this was first, in whichever repository."""
        return self.tag("original") or self.original or self.id

    def tag(self, name: str) -> str | None:
        """The value of the tag `name=value`, or None."""
        return next((tag.partition("=")[2] for tag in self.tags if tag.startswith(f"{name}=")), None)


class BackupSummary(ResticRecord):
    """The last line of `restic backup --json`."""

    snapshot_id: str
    data_added: int = 0
    """Bytes that were new to the repository, before compression."""
    data_added_packed: int | None = None
    """The same after compression; restic 0.17 and newer."""
    total_bytes_processed: int
    total_duration: float = 0
    """Seconds."""


class RepositoryConfig(ResticRecord):
    """`restic cat config`."""

    id: str
    version: int


class Stats(ResticRecord):
    """`restic stats --json --mode raw-data`."""

    total_size: int
    """Bytes in the store."""
    total_uncompressed_size: int | None = None
    total_blob_count: int = 0
    snapshots_count: int | None = None


class Node(ResticRecord):
    """A file or folder in a tree."""

    name: str
    size: int = 0


class Tree(ResticRecord):
    """What is at the top of a snapshot (`restic cat blob`)."""

    nodes: tuple[Node, ...] = ()


class FoundBlob(ResticRecord):
    """A part of a pack (`restic find --pack --json`)."""

    snapshot: str


class Key(ResticRecord):
    """A key that opens the repository (`restic key list --json`)."""

    id: str
    current: bool = False
    """Whether it is the one of the password in use."""
    user_name: str = Field(default="", alias="userName")
    host_name: str = Field(default="", alias="hostName")
    created: str = ""


FOUND: TypeAdapter[tuple[FoundBlob, ...]] = TypeAdapter(tuple[FoundBlob, ...])
KEYS: TypeAdapter[tuple[Key, ...]] = TypeAdapter(tuple[Key, ...])
SNAPSHOTS: TypeAdapter[tuple[Snapshot, ...]] = TypeAdapter(tuple[Snapshot, ...])
