"""What every dump engine gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mongo_backup.archive.writer import Write
from mongo_backup.connection import Client
from mongo_backup.manifest.model import ClusterTime, NamespaceRecord
from mongo_backup.namespaces import Selection

READ_AHEAD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ConfigServer:
    """Where it stands which shard owns what: a member of the config server that can be read at the cluster time."""

    client: Client
    host: str


@dataclass(frozen=True, kw_only=True)
class DumpJob:
    """One component to dump from one of its members."""

    client: Client
    """A direct connection to the member."""
    host: str
    """The member's address, for messages."""
    component: str
    """Its name; for a shard the name that `config.chunks` knows."""
    selection: Selection
    cluster_time: ClusterTime | None = None
    """Read at this time; None: read as it stands."""
    expected_catalog: str | None = None
    """`catalog_digest` of the selection at the cluster time. The catalog must be the same before and after reading."""
    config_server: ConfigServer | None = None
    """For a shard: needed to leave out what it does not own. None: everything that is there is dumped."""
    connection: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The driver's options for the member, with the password: for engines that start a program."""
    threads: int = 2
    """Collections read side by side."""
    read_ahead_bytes: int = READ_AHEAD_BYTES
    """Bytes that may wait to be written."""


OnReadComplete = Callable[[], None]


class DumpEngine(Protocol):
    """Dumps a component as an archive of mongodump."""

    def __call__(self, job: DumpJob, *, write: Write, on_read_complete: OnReadComplete) -> tuple[NamespaceRecord, ...]:
        """Hand the archive to `write`, piece by piece, from the calling thread.

        :param on_read_complete: called once, when the last byte was read from the member: it may be unlocked from then
            on. It comes from another thread, while bytes may still wait to be written, and not at all after a failure.
        :returns: what was read, sorted by namespace.
        :raises MongoBackupError: the dump failed; what was written is no whole archive.
        """
        ...
