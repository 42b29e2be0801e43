"""Creates collections, time series and views as they were, keeping UUIDs where routing needs them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure, PyMongoError

from mongo_backup.connection import Client, mongo_errors, said, translate
from mongo_backup.errors import PermanentError, PreconditionError
from mongo_backup.namespaces import BUCKETS_PREFIX
from mongo_backup.restore.concerns import MAJORITY
from mongo_backup.restore.specs import CollectionSpec

log = logging.getLogger(__name__)

_UNKNOWN_OPTION = {9, 72, 40415, 40414}


class CollectionCreator:
    """Creates namespaces on one server or replica set.

    :param host: for messages.
    :param keep_uuids: create each collection with the UUID of its source. The shards of a cluster need that: routing
        names collections by UUID. It takes `applyOps`, which needs the action `anyAction` on any resource.
    :param shard_keys: keys of sharded collections by namespace; their index is made with the collection, so that
        routing never meets one without it.
    """

    def __init__(
        self, *, client: Client, host: str, keep_uuids: bool, shard_keys: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        self._client = client
        self._host = host
        self._keep_uuids = keep_uuids
        self._shard_keys = shard_keys or {}

    def existing(self, specs: Iterable[CollectionSpec]) -> set[tuple[str, str]]:
        """Return those of the databases' namespaces that are there."""
        found = set()
        for db in sorted({spec.db for spec in specs}):
            with mongo_errors(f"listing the collections of {db}", self._host):
                found |= {(db, name) for name in self._client[db].list_collection_names()}
        return found

    def make_room(self, specs: list[CollectionSpec], *, merge: bool, own_leftovers: bool) -> list[CollectionSpec]:
        """Return those that are still to be created.

        :param merge: what exists stays and gets further documents.
        :param own_leftovers: what exists is from an earlier try of this restore and is dropped.
        :raises PreconditionError: something exists that nobody allowed to touch.
        """
        existing = self.existing(specs)
        there = [
            spec
            for spec in specs
            if (spec.db, spec.data_collection if spec.buckets_only else spec.collection) in existing
        ]
        if merge:
            return [spec for spec in specs if spec not in there]
        if there and not own_leftovers:
            names = ", ".join(spec.namespace for spec in there[:5])
            raise PreconditionError(
                f"{len(there)} namespaces appeared on {self._host} since the plan was made: {names}; stop what creates"
                " them, or restore with existing: drop"
            )
        for spec in there:
            log.info("%s: dropping %s, left by an earlier try", self._host, spec.namespace)
            with mongo_errors(f"dropping {spec.namespace}", self._host):
                name = spec.data_collection if spec.buckets_only else spec.collection
                self._client[spec.db].command({"drop": name, "writeConcern": MAJORITY})
        return specs

    def create(self, spec: CollectionSpec) -> None:
        """Create one namespace, empty, without the indexes other than `_id` and the shard key's.

        :raises PermanentError: the server refuses an option.
        """
        log.debug("%s: creating %s %s", self._host, spec.type, spec.namespace)
        if spec.type == "view" or not self._keep_uuids or spec.uuid is None:
            self._plainly(spec)
        elif spec.type == "timeseries":
            self._time_series(spec)
        else:
            self._with_uuid(spec, spec.options, spec.collection)
        self._shard_key_index(spec)

    def _plainly(self, spec: CollectionSpec) -> None:
        command = {"create": spec.collection, **spec.options}
        if (index := spec.id_index) is not None and spec.type == "collection":
            command["idIndex"] = _without_namespace(index)
        self._run(spec, lambda: self._client[spec.db].command({**command, "writeConcern": MAJORITY}))

    def _time_series(self, spec: CollectionSpec) -> None:
        """Let the server make the buckets in its own way, then make them again with their UUID.

        The second `create` finds buckets that fit and adds only the name that users know.
        """
        self._plainly(spec)
        database, name = self._client[spec.db], BUCKETS_PREFIX + spec.collection
        with mongo_errors(f"creating {spec.namespace}", self._host):
            [found] = database.list_collections(filter={"name": name})
            database.command({"drop": spec.collection, "writeConcern": MAJORITY})
        self._with_uuid(spec, found["options"], name)
        if not spec.buckets_only:
            self._plainly(spec)

    def _with_uuid(self, spec: CollectionSpec, options: dict[str, Any], collection: str) -> None:
        body: dict[str, Any] = {"create": collection, **options}
        if (index := spec.id_index) is not None:
            body["idIndex"] = _without_namespace(index)
        operation = {"op": "c", "ns": f"{spec.db}.$cmd", "ui": spec.binary_uuid, "o": body}
        self._run(spec, lambda: self._client.admin.command({"applyOps": [operation], "writeConcern": MAJORITY}))

    def _run(self, spec: CollectionSpec, act: Callable[[], object]) -> None:
        try:
            act()
        except OperationFailure as error:
            if error.code in _UNKNOWN_OPTION:
                raise PermanentError(
                    f"{self._host} refuses an option of {spec.namespace}: {said(error)[:300]}; restore into a server of"
                    " the version that it comes from, or leave it out by `exclude`"
                ) from error
            raise translate(error, doing=f"creating {spec.namespace}", host=self._host) from error
        except PyMongoError as error:
            raise translate(error, doing=f"creating {spec.namespace}", host=self._host) from error

    def _shard_key_index(self, spec: CollectionSpec) -> None:
        key = self._shard_keys.get(f"{spec.db}.{spec.data_collection}")
        if key is None:
            return
        index = shard_key_index(spec.indexes, key)
        if index is None:
            return  # the key is `_id`, or the clustered one
        command = {
            "createIndexes": spec.data_collection,
            "indexes": [_without_namespace(index)],
            "writeConcern": MAJORITY,
        }
        self._run(spec, lambda: self._client[spec.db].command(command))


def shard_key_index(indexes: Iterable[RawBSONDocument], key: Mapping[str, Any]) -> RawBSONDocument | None:
    """Return the index that serves a shard key: the shortest full one that begins with it."""
    wanted = list(key.items())
    fitting = [
        index
        for index in indexes
        if list(index["key"].items())[: len(wanted)] == wanted
        and not {"partialFilterExpression", "sparse", "clustered"} & index.keys()
        and index["name"] != "_id_"
    ]
    return min(fitting, key=lambda index: (len(index["key"]), "collation" in index), default=None)


def _without_namespace(index: RawBSONDocument) -> dict[str, Any]:
    """Servers before 4.4 list an index with its namespace, which newer ones refuse under another name."""
    return {name: value for name, value in index.items() if name != "ns"}
