"""Old sets leave the repository, by the session's policy."""

from __future__ import annotations

import logging
from datetime import timedelta

from mongo_backup.agent.contract import BackupRequest, RetentionResult
from mongo_backup.agent.session import connect, open_repository, session_of
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal
from mongo_backup.locks.target import leased
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.objects.configuration import BackupConfiguration, Session
from mongo_backup.objects.retention import RetentionSpec
from mongo_backup.retention.apply import apply_plan, clean_incomplete, plan_for

logger = logging.getLogger(__name__)

REMAINS_FACTOR = 2
"""Remains are left alone for this many times the longest backup: their run may still be at work, or be looked into."""


TOLD = 20
"""A result names so many sets, to stay small; the log has all."""


def remains_age(session: Session, policy: RetentionSpec | None) -> timedelta:
    """How old the remains of a failed backup must be before they go."""
    wanted = policy.failed if policy and policy.failed else timedelta()
    return max(REMAINS_FACTOR * session.backup_timeout, wanted)


def remains_of_others(configuration: BackupConfiguration, session: str, catalog: SetCatalog) -> set[str]:
    """Ids of remains that another session of the configuration clears away, by its own limits.

    Those of a session that is no longer there are anybody's.
    """
    others = {each.name for each in configuration.spec.sessions} - {session}
    return {each.set_id for each in catalog.incomplete() if each.session in others}


def apply_retention(request: BackupRequest, credentials: Credentials) -> RetentionResult:
    """Forget what the policy does not keep; without a policy everything is kept. Data go with the next prune.

    Remains of backups that died without a manifest go too, once their run is surely over.

    :raises MongoBackupError: it was not finished; doing it again finishes it.
    """
    policy = request.objects.retention
    with (
        connect(request, credentials) as connector,
        leased(connector, request.run.owner),
        open_repository(request, credentials) as repository,
    ):
        alive = {entry.set_id for entry in Journal(connector).entries() if entry.set_id}
        catalog = SetCatalog.read(repository)
        plan = plan_for(catalog, policy.spec if policy else None, session=request.session)
        forgotten = apply_plan(repository, catalog, plan)
        older_than = remains_age(session_of(request), policy.spec if policy else None)
        spared = alive | remains_of_others(request.objects.configuration, request.session, catalog)
        for set_id in clean_incomplete(repository, catalog, older_than=older_than, alive=spared):
            logger.info("Removed what a backup without a manifest had left: set %s", set_id)
    refused = tuple(each.set_id for each in plan.forgotten if each.set_id not in forgotten)
    logger.info("Retention keeps %d sets of this session and forgot %d", len(plan.kept), len(forgotten))
    if refused:
        logger.warning("The store does not let go of %d sets that no rule keeps: %s", len(refused), ", ".join(refused))
    return RetentionResult(kept=len(plan.kept), forgotten=forgotten, refused=refused[:TOLD])
