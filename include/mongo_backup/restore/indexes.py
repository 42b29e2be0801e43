"""Builds indexes after the documents, with the specifications of their source."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure, PyMongoError

from mongo_backup.connection import Client, mongo_errors, said, translate
from mongo_backup.errors import MongoBackupError, PermanentError
from mongo_backup.restore.concerns import MAJORITY
from mongo_backup.restore.specs import CollectionSpec

log = logging.getLogger(__name__)

_UNKNOWN_FIELD = 197
_UNKNOWN_NAME = re.compile(r"The field '([^']+)' is not valid for an index specification")
_DUPLICATE_KEY = 11000


@dataclass
class Built:
    """What was built."""

    indexes: int = 0
    warnings: list[str] = field(default_factory=list)


def build_indexes(*, client: Client, host: str, specs: Iterable[CollectionSpec], expiring: bool = False) -> Built:
    """Build the indexes of the collections; those that exist with the same specification are left as they are.

    An option that this server no longer knows is left out, with a warning.

    :param expiring: those that let documents expire (TTL), else all others.
    :raises PermanentError: an index cannot be built, such as a unique one over documents that are not.
    """
    built = Built()
    for spec in specs:
        wanted = [_cleaned(index) for index in spec.own_indexes(expiring=expiring)]
        if spec.type == "view" or not wanted:
            continue
        began = time.monotonic()
        _create(client, host, spec, wanted, built)
        log.info("%s: %d indexes of %s in %.1f s", host, len(wanted), spec.namespace, time.monotonic() - began)
    return built


def begin_expiry(*, client: Client, host: str, specs: Iterable[CollectionSpec]) -> Built:
    """Let documents expire from now on: TTL indexes, and the expiry of time series and clustered collections.

    It comes last: a TTL monitor deletes what is due within a minute, and what is gone cannot be compared.

    :raises PermanentError: the server refuses one.
    """
    specs = list(specs)
    built = build_indexes(client=client, host=host, specs=specs, expiring=True)
    for spec in specs:
        if spec.expire_after is not None:
            with mongo_errors(f"setting the expiry of {spec.namespace}", host):
                client[spec.db].command(
                    {
                        "collMod": spec.data_collection if spec.buckets_only else spec.collection,
                        "expireAfterSeconds": spec.expire_after,
                        "writeConcern": MAJORITY,
                    }
                )
    return built


def _cleaned(index: RawBSONDocument) -> dict[str, Any]:
    """Without the namespace that servers before 4.4 list with an index."""
    return {name: value for name, value in index.items() if name != "ns"}


def _where(spec: CollectionSpec, indexes: list[dict[str, Any]]) -> str:
    """The collection to name in `createIndexes`.

    A time series lists its indexes in words of its own fields; the buckets list them in theirs (`control.min.*`), and
    in a cluster only they exist on every shard.
    """
    on_buckets = any(name.startswith("control.") for index in indexes for name in index["key"])
    return spec.data_collection if on_buckets or spec.buckets_only else spec.collection


def _create(client: Client, host: str, spec: CollectionSpec, wanted: list[dict[str, Any]], built: Built) -> None:
    while True:
        command = {"createIndexes": _where(spec, wanted), "indexes": wanted, "writeConcern": MAJORITY}
        try:
            reply = client[spec.db].command(command)
        except OperationFailure as error:
            unknown = _UNKNOWN_NAME.search(str(error))
            if error.code == _UNKNOWN_FIELD and unknown and any(unknown[1] in index for index in wanted):
                wanted = [_without(index, unknown[1], spec, built) for index in wanted]
                continue
            raise _refused(error, host, spec) from error
        except PyMongoError as error:
            raise translate(error, doing=f"building indexes of {spec.namespace}", host=host) from error
        built.indexes += reply["numIndexesAfter"] - reply["numIndexesBefore"]
        return


def _without(index: dict[str, Any], option: str, spec: CollectionSpec, built: Built) -> dict[str, Any]:
    if option not in index:
        return index
    warning = f"index {index['name']} of {spec.namespace}: this server no longer knows the option {option}, left out"
    log.warning("%s", warning)
    built.warnings.append(warning)
    return {name: value for name, value in index.items() if name != option}


def _refused(error: OperationFailure, host: str, spec: CollectionSpec) -> MongoBackupError:
    if error.code == _DUPLICATE_KEY:
        return PermanentError(
            f"a unique index of {spec.namespace} cannot be built on {host}: {said(error)[:300]}; the documents that"
            " were there before the restore and those of the backup hold the same value"
        )
    return translate(error, doing=f"building indexes of {spec.namespace}", host=host)
