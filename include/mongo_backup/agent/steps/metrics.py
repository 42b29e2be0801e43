"""Numbers about this backup for Prometheus, of a failed one too."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from mongo_backup.agent.contract import BackupRequest, BackupStep, MetricsResult
from mongo_backup.agent.session import open_repository
from mongo_backup.credentials import Credentials
from mongo_backup.errors import MongoBackupError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import Manifest
from mongo_backup.manifest.store import read_manifest
from mongo_backup.metrics import push

logger = logging.getLogger(__name__)


def push_metrics(request: BackupRequest, credentials: Credentials) -> MetricsResult:
    """Push to the configuration's Pushgateway, if it has one. A gateway that is away never fails a good backup."""
    settings = request.objects.configuration.spec.metrics
    if settings is None:
        return MetricsResult(pushed=False, reason="the configuration names no Pushgateway")
    now = datetime.now(UTC)
    started = datetime.fromisoformat(request.prepared.started) if request.prepared else now
    success = request.states.get(BackupStep.COMMIT_SNAPSHOT) == "success"
    manifest, kept = _facts(request, credentials) if success else (None, None)
    return push.push_metrics(
        settings.pushgateway,
        push.BackupMetrics(
            configuration=request.objects.configuration.name,
            session=request.session,
            ended=now,
            success=success,
            seconds=(now - started).total_seconds(),
            manifest=manifest,
            sets_kept=kept,
        ),
    )


def _facts(request: BackupRequest, credentials: Credentials) -> tuple[Manifest | None, int | None]:
    """The set's manifest and how many sets the session has; nothing where the repository does not answer now."""
    try:
        with open_repository(request, credentials) as repository:
            catalog = SetCatalog.read(repository)
            manifest = read_manifest(repository, catalog.find(request.set_id or "", session=request.session))
            return manifest, len(catalog.complete(request.session))
    except MongoBackupError as error:
        logger.warning("The repository was not asked for sizes: %s", error)
        return None, None
