"""The manifest's form. It is written last: a set without a manifest does not exist for restore and retention.

Nothing secret is in it. `format_version` grows when a reader must know of a change; a field that a reader does not know
is passed over, so that an older version reads what a newer one has written.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from mongo_backup.model import Model
from mongo_backup.objects.addon import Engine
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole

FORMAT_VERSION = 1


class ClusterTime(Model):
    """A point of the cluster's logical clock: BSON timestamp (seconds since 1970, ordinal)."""

    t: int
    i: int

    def __str__(self) -> str:
        """`1700000000.5`: seconds, a dot, the ordinal."""
        return f"{self.t}.{self.i}"


class Recorded(Model):
    """A part of a manifest."""

    model_config = ConfigDict(extra="ignore")


class NamespaceRecord(Recorded):
    """One namespace of one component, as it was read."""

    db: str
    collection: str
    type: Literal["collection", "view", "timeseries"] = "collection"
    """As `listCollections` says; a time series' data are in its `system.buckets.*` namespace."""
    uuid: str | None = None
    """Hexadecimal, 32 digits; a view has none."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Relaxed extended JSON of the collection's options."""
    indexes: tuple[dict[str, Any], ...] = ()
    """Extended JSON of `listIndexes`."""
    documents: int = 0
    bytes: int = 0
    digest: str = "0" * 32
    """Order-independent digest of the raw documents, 32 hexadecimal digits: see `mongo_backup.digest`."""
    at_cluster_time: bool = False
    """Read at the set's cluster time. A capped collection cannot be (MongoDB forbids it): it is read as it stood."""
    orphans_left_out: bool = False
    """A filter on the ranges that the shard owns was needed."""

    @property
    def namespace(self) -> str:
        """`db.collection`."""
        return f"{self.db}.{self.collection}"


class Inventory(Recorded):
    """All namespaces of one component, kept in the repository beside its archive."""

    component: str
    namespaces: tuple[NamespaceRecord, ...]


class ComponentRecord(Recorded):
    """One component of a set."""

    name: str
    role: ComponentRole
    replica_set: str | None = None
    member: ChosenMember
    engine: Engine
    consistency: Consistency
    """What was achieved for this component."""
    archive_id: str
    """The restic snapshot with the archive."""
    archive_file: str
    """The file's path in that snapshot."""
    documents: int
    bytes: int
    """Size of the archive."""
    bytes_added: int
    """What was new to the repository, before compression (restic's `data_added`)."""
    seconds: float
    """The whole dump."""
    read_seconds: float
    """Until the last byte was read from the member."""
    locked_seconds: float | None = None
    """How long the member was locked; None where it was not."""
    namespaces: tuple[NamespaceRecord, ...] = ()


class SetFigures(Recorded):
    """How large a set was, for comparison with later ones."""

    set_id: str
    documents: int
    bytes: int
    """Of all archives."""
    namespaces: int


class Copied(Recorded):
    """Where a set was copied from."""

    repository: str
    """The source's location, as restic writes it."""
    manifest_id: str
    """The restic snapshot with the manifest there."""
    at: datetime


class Manifest(Recorded):
    """One set: all components of one backup."""

    format_version: int = FORMAT_VERSION
    set_id: str
    configuration: str
    session: str
    dag_run: str | None = None
    started: datetime
    finished: datetime
    topology: TopologyKind
    server_version: str
    fcv: str | None = None
    consistency: Consistency
    """The weakest of the components': what the set as a whole really is."""
    cluster_time: ClusterTime | None = None
    lock_skew_seconds: float | None = None
    """Time between the first and the last lock."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    components: tuple[ComponentRecord, ...]
    history: tuple[SetFigures, ...] = ()
    """The sets before this one, of the same session and selection, oldest first."""
    suspicious: tuple[str, ...] = ()
    """Why somebody should look at this set: it differs wildly from those before it. Empty: nothing was noticed."""
    core_version: str
    agent_image: str | None = None
    restic_version: str
    copied: Copied | None = None
    """Of a set in a copy: its `archive_id`s are those in the copy, all else is as in the source."""
    objects: dict[str, Any] = Field(default_factory=dict)
    """The objects that made it (no secrets: references only), so that they can be written back."""

    def component(self, name: str) -> ComponentRecord:
        """The component of that name."""
        return next(component for component in self.components if component.name == name)

    @property
    def documents(self) -> int:
        """Documents in all components."""
        return sum(component.documents for component in self.components)

    @property
    def bytes(self) -> int:
        """Bytes of all archives."""
        return sum(component.bytes for component in self.components)
