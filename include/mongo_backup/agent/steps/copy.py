"""Complete sets of the session come into a second repository, and leave it by the copy's own policy.

Nothing of it touches the deployment: only the two stores are needed.
"""

from __future__ import annotations

import logging

from mongo_backup.agent.contract import BackupRequest, CopyResult
from mongo_backup.agent.session import open_repository
from mongo_backup.agent.steps.retention import TOLD
from mongo_backup.copies.run import copy_sets
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.repository.restic import Repository

logger = logging.getLogger(__name__)


def copy(request: BackupRequest, credentials: Credentials) -> CopyResult:
    """Copy what the copy misses of the sets that its policy keeps: mostly the set of this run, and what failed before.

    :raises MongoBackupError: it was not finished; the next run goes on from there.
    """
    if request.copy_name is None:
        raise ConfigurationError("the request names no copy")
    one, objects = request.objects.copy_named(request.copy_name), request.objects.of_copy(request.copy_name)
    with (
        open_repository(request, credentials) as source,
        Repository.of(configuration=objects.configuration, storage=objects.storage, credentials=credentials) as target,
    ):
        done = copy_sets(
            source,
            target,
            one.policy,
            session=request.session,
            timeout=one.settings.timeout.total_seconds(),
        )
    logger.info(
        "The copy %s has %d sets of this session: %d came, %d went, in %.1f s",
        *(one.settings.name, done.sets, len(done.copied), len(done.forgotten), done.seconds),
    )
    return CopyResult(
        copy_name=one.settings.name,
        copied=done.copied[:TOLD],
        copied_sets=len(done.copied),
        forgotten=done.forgotten[:TOLD],
        refused=done.refused[:TOLD],
        refused_sets=len(done.refused),
        sets=done.sets,
        newest_set=done.newest_set,
        newest_time=done.newest_time.timestamp() if done.newest_time else None,
        bytes=done.bytes,
        seconds=done.seconds,
    )
