"""What every engine looks at before it reads documents."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mongo_backup.catalog import CatalogEntry, catalog_digest, read_catalog
from mongo_backup.engines.base import DumpJob
from mongo_backup.errors import PermanentError
from mongo_backup.orphans import Bounds, collections_with_leftovers, owned_bounds
from mongo_backup.topology.model import ComponentRole

logger = logging.getLogger(__name__)


def expected_catalog(job: DumpJob) -> tuple[CatalogEntry, ...]:
    """Read the member's catalog, and check it where the job says what it must be.

    :raises PermanentError: it is another one.
    """
    entries = read_catalog(job.client, selection=job.selection, host=job.host)
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
    if job.selection.role is not ComponentRole.SHARD:
        return {}
    names = collections_with_leftovers(job.client, cluster_time=job.cluster_time, host=job.host)
    found: dict[str, tuple[Bounds, ...]] = {}
    for entry in (entry for entry in entries if entry.namespace in names):
        if job.config_server is None:
            raise PermanentError(
                f"{job.component} holds documents of {entry.namespace} that it may not own, and no config server was "
                "given that could tell: give one, or wait until the range deleter has removed them"
            )
        server = job.config_server
        scans = owned_bounds(
            server.client, entry=entry, shard=job.component, cluster_time=job.cluster_time, host=server.host
        )
        if scans is not None:
            found[entry.namespace] = scans
            logger.info("%s: of %s only the %d owned ranges are read", job.component, entry.namespace, len(scans))
    return found
