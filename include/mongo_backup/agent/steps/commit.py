"""The set comes into being: its manifest is written last and read back."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor

from mongo_backup import clock
from mongo_backup.agent.contract import BackupRequest, CommitResult
from mongo_backup.agent.session import connect, open_repository
from mongo_backup.credentials import Credentials
from mongo_backup.errors import MongoBackupError
from mongo_backup.locks.target import fence
from mongo_backup.manifest.anomaly import judged
from mongo_backup.manifest.build import build_manifest
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import Manifest
from mongo_backup.manifest.store import commit, read_inventory, read_manifest
from mongo_backup.repository.restic import Repository

logger = logging.getLogger(__name__)

_REASONS, _REASON_BYTES = 3, 300
"""Of the result, which stays below 4 KiB; log and manifest have all."""
IMAGE_VARIABLE = "MONGO_BACKUP_IMAGE"
"""Set in the agent image: its own name, for the manifest."""


def commit_snapshot(request: BackupRequest, credentials: Credentials) -> CommitResult:
    """Build the manifest of all components, write it, read it back and compare.

    :raises PreconditionError: a component is missing, or it is no longer this run's or this try's turn; the set stays
        incomplete and does not exist for a restore.
    """
    spec = request.objects.configuration.spec
    with connect(request, credentials) as connector, open_repository(request, credentials) as repository:
        with ThreadPoolExecutor(max_workers=5) as pool:
            asked = pool.submit(_earlier, request, repository)
            inventories = pool.map(
                lambda dump: read_inventory(repository, dump.inventory_id, dump.component), request.dumps
            )
            by_component = {each.component: each for each in inventories}
            before, waiting = asked.result()
        manifest = build_manifest(
            request=request,
            inventories=by_component,
            finished=clock.now(),
            restic_version=repository.version,
            agent_image=os.environ.get(IMAGE_VARIABLE),
        )
        manifest = judged(manifest, before, spec.anomaly)
        manifest_id = commit(
            repository,
            manifest,
            fence=lambda: fence(connector, owner=request.run.owner, token=request.try_number),
        )
    for reason in manifest.suspicious:
        logger.warning("Set %s is suspicious: %s", manifest.set_id, reason)
    added = sum(component.bytes_added for component in manifest.components)
    at = f"at cluster time {manifest.cluster_time}" if manifest.cluster_time else "without a cluster time"
    logger.info(
        "Set %s is complete: %s, %s, %d components, %d documents, %.1f MB, of which %.1f MB were new to the repository",
        *(manifest.set_id, manifest.consistency, at, len(manifest.components), manifest.documents),
        *(manifest.bytes / 1e6, added / 1e6),
    )
    return CommitResult(
        set_id=manifest.set_id,
        manifest_id=manifest_id,
        consistency=manifest.consistency,
        cluster_time=manifest.cluster_time,
        documents=manifest.documents,
        bytes=manifest.bytes,
        bytes_added=added,
        unverified=waiting,
        suspicious=tuple(reason[:_REASON_BYTES] for reason in manifest.suspicious[:_REASONS]),
    )


def _earlier(request: BackupRequest, repository: Repository) -> tuple[Manifest | None, int]:
    """What this set is compared with, and how many sets wait for a verification."""
    catalog = _catalog(request, repository)
    if catalog is None:
        return None, 0
    return _before(request, repository, catalog), _waiting(request, catalog)


def _catalog(request: BackupRequest, repository: Repository) -> SetCatalog | None:
    """The sets before this one. What is asked of them is worth less than the set: it never fails for them."""
    spec = request.objects.configuration.spec
    if not (spec.anomaly.enabled or (spec.verification and spec.verification.after_backups)):
        return None
    try:
        return SetCatalog.read(repository)
    except MongoBackupError as error:
        logger.warning("The sets before this one cannot be listed, so it is compared with none: %s", error)
        return None


def _before(request: BackupRequest, repository: Repository, catalog: SetCatalog) -> Manifest | None:
    """The manifest of the newest complete set of the session; another try's own is not looked at."""
    others = [each for each in catalog.complete(request.session) if each.set_id != request.set_id]
    if not (others and request.objects.configuration.spec.anomaly.enabled):
        return None
    try:
        return read_manifest(repository, others[-1])
    except MongoBackupError as error:
        logger.warning("The set before this one cannot be read, so it is compared with none: %s", error)
        return None


def _waiting(request: BackupRequest, catalog: SetCatalog) -> int:
    """How many sets wait for a verification, this one among them."""
    settings = request.objects.configuration.spec.verification
    if settings is None or settings.after_backups is None or settings.session not in (None, request.session):
        return 0
    there = any(each.set_id == request.set_id for each in catalog.complete())
    return catalog.unverified(settings.session) + int(not there)
