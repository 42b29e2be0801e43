"""What every engine looks at before it reads documents."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mongo_backup.catalog import CatalogEntry, catalog_digest, read_catalog
from mongo_backup.engines.base import ConfigServer, DumpJob
from mongo_backup.errors import PermanentError
from mongo_backup.orphans import Bounds, collections_with_leftovers, owned_bounds
from mongo_backup.topology.model import ComponentRole

logger = logging.getLogger(__name__)


def expected_catalog(job: DumpJob) -> tuple[CatalogEntry, ...]:
    """Read the member's catalog, and check it where the job says what it must be.

    :raises PermanentError: it is another one.
    """
    entries = read_catalog(job.client, selection=job.selection, host=job.host)
    for entry in entries:
        if entry.type == "timeseries" and entry.uuid is not None:
            raise PermanentError(
                f"{entry.namespace} on {job.host} is a time series in the form of MongoDB 8.3, without buckets: "
                "that is not supported, exclude it"
            )
    if job.expected_catalog is not None and catalog_digest(entries) != job.expected_catalog:
        raise PermanentError(
            f"a collection or an index of {job.component} was created, dropped, renamed or changed on {job.host} after "
            f"cluster time {job.cluster_time}: back up again while nobody does that, or use consistency: locked"
        )
    return entries


def leftovers(job: DumpJob, entries: Iterable[CatalogEntry]) -> dict[str, tuple[Bounds, ...]]:
    """Return the scans of what the shard owns, by namespace, for collections where it holds more than that.

    :raises PermanentError: there are such, and nothing tells what the shard owns.
    """
    if job.selection.role not in (ComponentRole.SHARD, ComponentRole.CONFIG):
        return {}
    names = collections_with_leftovers(job.client, cluster_time=job.cluster_time, host=job.host)
    found: dict[str, tuple[Bounds, ...]] = {}
    for entry in (entry for entry in entries if entry.namespace in names):
        server = _config_server(job)
        if server is None:
            raise PermanentError(
                f"{job.component} holds documents of {entry.namespace} that it may not own, and no config server was "
                "given that could tell: give one, or wait until the range deleter has removed them"
            )
        scans = owned_bounds(
            server.client, entry=entry, shard=job.component, cluster_time=job.cluster_time, host=server.host
        )
        if scans is not None:
            found[entry.namespace] = scans
            logger.info("%s: of %s only the %d owned ranges are read", job.component, entry.namespace, len(scans))
    return found


def _config_server(job: DumpJob) -> ConfigServer | None:
    """Where it stands what is owned: a config server that is a shard besides (MongoDB 8.0) tells of itself."""
    if job.config_server is None and job.selection.role is ComponentRole.CONFIG:
        return ConfigServer(client=job.client, host=job.host)
    return job.config_server
