"""Check that every collection of a member is readable at T, and that the catalog at T is the one that was listed.

A catalog cannot be listed at a past time. So it is listed before T and again once T is held: equal digests mean that
no namespace came, went or changed in between. And each collection is read at T: the server refuses one whose catalog
entry is younger than T (`SnapshotUnavailable`), or a T that its history does not reach any more (`SnapshotTooOld`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bson import Timestamp
from pymongo.errors import OperationFailure

from mongo_backup.catalog import CatalogEntry, catalog_digest, read_catalog
from mongo_backup.connection import Connector, said
from mongo_backup.locks.fsync import answers
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.namespaces import Selection
from mongo_backup.topology.model import ChosenMember, ComponentRole

_UNREADABLE = {239, 246}
"""SnapshotTooOld, SnapshotUnavailable."""
_CATALOG_SECONDS = 300.0
_RANGE_DELETIONS = ("config", "rangeDeletions")
"""Which ranges a shard does not own any more: the dump reads it at T too."""


class MemberProbe:
    """The catalog of one chosen member, and whether it can be read at a cluster time.

    :param include: the session's patterns; `exclude` likewise.
    """

    def __init__(
        self,
        connector: Connector,
        member: ChosenMember,
        *,
        include: tuple[str, ...] = (),
        exclude: tuple[str, ...] = (),
    ) -> None:
        self.member = member
        self._connector = connector
        self._selection = Selection(role=member.role, include=include, exclude=exclude)
        self._entries: tuple[CatalogEntry, ...] = ()

    def digest(self) -> str:
        """List the catalog now; return its digest."""
        host = self.member.host
        with answers("reading the catalog", host, seconds=_CATALOG_SECONDS):
            self._entries = read_catalog(self._connector.member(host), selection=self._selection, host=host)
        return catalog_digest(self._entries)

    def unreadable(self, point: ClusterTime) -> str | None:
        """Read each collection of the catalog listed last at T; return the first that cannot be, with the reason."""
        client = self._connector.member(self.member.host)
        concern = {"level": "snapshot", "atClusterTime": Timestamp(point.t, point.i)}
        with answers("reading at the cluster time", self.member.host, seconds=_CATALOG_SECONDS):
            for db, collection in self._namespaces():
                command: dict[str, Any] = {
                    "find": collection,
                    "limit": 1,
                    "singleBatch": True,
                    "projection": {"_id": 1},
                }
                try:
                    client[db].command({**command, "readConcern": concern})
                except OperationFailure as error:
                    if error.code not in _UNREADABLE:
                        raise
                    return f"{db}.{collection} on {self.member.host}: {said(error)[:200]}"
        return None

    def _namespaces(self) -> Iterable[tuple[str, str]]:
        for entry in self._entries:
            if entry.has_documents and not entry.capped:
                yield entry.db, entry.collection
        if self.member.role is ComponentRole.SHARD:
            yield _RANGE_DELETIONS
