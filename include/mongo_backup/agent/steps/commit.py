"""The set comes into being: its manifest is written last and read back."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from mongo_backup.agent.contract import BackupRequest, CommitResult
from mongo_backup.agent.session import open_repository
from mongo_backup.credentials import Credentials
from mongo_backup.manifest.build import build_manifest
from mongo_backup.manifest.store import commit, read_inventory

logger = logging.getLogger(__name__)

IMAGE_VARIABLE = "MONGO_BACKUP_IMAGE"
"""Set in the agent image: its own name, for the manifest."""


def commit_snapshot(request: BackupRequest, credentials: Credentials) -> CommitResult:
    """Build the manifest of all components, write it, read it back and compare.

    :raises PreconditionError: a component is missing; the set stays incomplete and does not exist for a restore.
    """
    with open_repository(request, credentials) as repository:
        with ThreadPoolExecutor(max_workers=4) as pool:
            inventories = pool.map(
                lambda dump: read_inventory(repository, dump.inventory_id, dump.component), request.dumps
            )
            by_component = {each.component: each for each in inventories}
        manifest = build_manifest(
            request=request,
            inventories=by_component,
            finished=datetime.now(UTC),
            restic_version=repository.version,
            agent_image=os.environ.get(IMAGE_VARIABLE),
        )
        manifest_id = commit(repository, manifest)
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
    )
