"""Numbers about this backup for Prometheus, of a failed one too."""

from __future__ import annotations

import logging
from datetime import datetime

from mongo_backup import clock
from mongo_backup.agent.contract import BackupRequest, BackupStep, MetricsResult
from mongo_backup.agent.session import open_repository, session_of
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import MongoBackupError
from mongo_backup.journal import MARKS, Journal
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.backup import BackupMetrics, push_backup, push_marks
from mongo_backup.metrics.copies import CopyMetrics, push_copy

logger = logging.getLogger(__name__)


def push_metrics(request: BackupRequest, credentials: Credentials) -> MetricsResult:
    """Push to the configuration's Pushgateway, if it has one. A gateway that is away never fails a good backup."""
    settings = request.objects.configuration.spec.metrics
    if settings is None:
        return MetricsResult(pushed=False, reason="the configuration names no Pushgateway")
    committed, session = request.committed, session_of(request)
    success = request.states.get(BackupStep.COMMIT_SNAPSHOT) == "success"
    _push_copies(request, settings.pushgateway)
    return push_backup(
        settings.pushgateway,
        BackupMetrics(
            configuration=request.objects.configuration.name,
            session=session.name,
            attempt=_attempt(request, success=success),
            lock_limit_seconds=session.max_lock_time.total_seconds(),
            consistency=committed.consistency if committed else None,
            server_version=request.prepared.server_version if request.prepared else "",
            cluster_time=committed.cluster_time if committed else None,
            lock_skew_seconds=request.lock.skew_seconds if request.lock else None,
            dumps=request.dumps,
            suspicious=_suspicious(request),
            sets=_sets(request, credentials) if success else None,
        ),
    )


def _push_copies(request: BackupRequest, gateway: str) -> None:
    """Each copy is a subject of its own: one that failed keeps what is known of its last success."""
    done = {each.copy_name: each for each in request.copied}
    for copy in request.objects.copies:
        name = copy.settings.name
        push_copy(
            gateway,
            CopyMetrics(
                configuration=request.objects.configuration.name,
                session=request.session,
                copy_name=name,
                attempt=Attempt.now(
                    success=name in done,
                    seconds=done[name].seconds if name in done else request.step_seconds.get(BackupStep.COPY, 0.0),
                    step_seconds={},
                    schedule=session_of(request).schedule,
                ),
                done=done.get(name),
            ),
        )


def _attempt(request: BackupRequest, *, success: bool) -> Attempt:
    now = clock.now()
    started = datetime.fromisoformat(request.prepared.started) if request.prepared else now
    seconds = request.run_seconds if request.run_seconds is not None else (now - started).total_seconds()
    return Attempt.now(
        success=success, seconds=seconds, step_seconds=request.step_seconds, schedule=session_of(request).schedule
    )


def _suspicious(request: BackupRequest) -> bool | None:
    """Whether the set was found unlike its predecessors; None where nobody looked."""
    judged = request.committed is not None and request.objects.configuration.spec.anomaly.enabled
    return bool(request.committed.suspicious) if judged and request.committed else None


def tell_marks(request: BackupRequest, connector: Connector) -> None:
    """Push what this run, and dead ones, hold on the target; after the last sweep that should be nothing.

    Never raises: a gateway or a target that does not answer is a warning.
    """
    settings = request.objects.configuration.spec.metrics
    if settings is None:
        return
    try:
        entries = Journal(connector).entries()
    except MongoBackupError as error:
        logger.warning("The target was not asked for marks: %s", error)
        return
    left = [entry.kind for entry in entries if entry.owner == request.run.owner or not entry.alive]
    push_marks(
        settings.pushgateway,
        configuration=request.objects.configuration.name,
        session=request.session,
        marks={kind.value: left.count(kind) for kind in MARKS},
    )


def _sets(request: BackupRequest, credentials: Credentials) -> int | None:
    """How many complete sets the session has; None where the repository does not answer now."""
    if request.retained is not None:
        return request.retained.kept
    try:
        with open_repository(request, credentials) as repository:
            return len(SetCatalog.read(repository).complete(request.session))
    except MongoBackupError as error:
        logger.warning("The repository was not asked for its sets: %s", error)
        return None
