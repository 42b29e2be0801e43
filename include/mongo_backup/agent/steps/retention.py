"""Old sets leave the repository, by the session's policy."""

from __future__ import annotations

import logging

from mongo_backup.agent.contract import BackupRequest, RetentionResult
from mongo_backup.agent.session import open_repository
from mongo_backup.credentials import Credentials
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.retention.apply import apply_plan, plan_for

logger = logging.getLogger(__name__)


def apply_retention(request: BackupRequest, credentials: Credentials) -> RetentionResult:
    """Forget what the policy does not keep; without a policy everything is kept. Data go with the next prune.

    :raises MongoBackupError: it was not finished; doing it again finishes it.
    """
    policy = request.objects.retention
    with open_repository(request, credentials) as repository:
        catalog = SetCatalog.read(repository)
        plan = plan_for(catalog, policy.spec if policy else None, session=request.session)
        forgotten = apply_plan(repository, catalog, plan)
    logger.info("Retention keeps %d sets of this session and forgot %d", len(plan.kept), len(forgotten))
    return RetentionResult(kept=len(plan.kept), forgotten=forgotten)
