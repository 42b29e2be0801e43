"""After the writing: read everything back and compare it with the manifest."""

from __future__ import annotations

import logging
import time

from mongo_backup.agent.restore_contract import Existing, RestoreRequest, VerifyResult
from mongo_backup.agent.steps.restore_common import RestoreJob, Target, open_job
from mongo_backup.agent.steps.restore_data import on_every_component
from mongo_backup.credentials import Credentials
from mongo_backup.restore.indexes import begin_expiry
from mongo_backup.topology.discover import version_number
from mongo_backup.verify.compare import (
    Comparison,
    Subject,
    compare_catalog,
    compare_documents,
    compare_routing,
    expires,
)

log = logging.getLogger(__name__)


def verify_restore(request: RestoreRequest, credentials: Credentials) -> VerifyResult:
    """Compare documents; then let documents expire again (TTL); then compare the catalog, and routing with shards.

    :raises VerificationError: something differs; the message lists it.
    """
    began = time.monotonic()
    with open_job(request, credentials) as job:
        subjects = {target.record.name: _subject(job, target) for target in job.targets}
        comparison = compare_documents(subjects.values(), threads=2 * len(subjects))
        comparison.judge()
        on_every_component(
            job,
            lambda target, specs: begin_expiry(client=target.client, host=target.host, specs=specs),
            where=lambda target: any(map(expires, target.record.namespaces)),
        )
        same_version = _same_version(job)
        for subject in subjects.values():
            comparison.differences += compare_catalog(subject, same_version=same_version)
        if job.sharded:
            _compare_routing(job, comparison)
        comparison.judge()
    seconds = time.monotonic() - began
    log.info(
        "equal to the manifest: %d namespaces, %d documents, %.1f MB, %d digests, %d UUIDs of sharded collections, in"
        " %.1f s",
        *(comparison.namespaces, comparison.documents, comparison.bytes / 1e6, comparison.digests, comparison.uuids),
        seconds,
    )
    return VerifyResult(
        namespaces=comparison.namespaces,
        documents=comparison.documents,
        bytes=comparison.bytes,
        seconds=round(seconds, 3),
        digests=comparison.digests,
        uuids=comparison.uuids,
    )


def _subject(job: RestoreJob, target: Target) -> Subject:
    return Subject(
        name=target.component.name,
        client=target.client,
        host=target.host,
        records=target.record.namespaces,
        rules=job.rules,
        merged=job.request.parameters.existing is Existing.MERGE,
        uuids=job.sharded,
    )


def _same_version(job: RestoreJob) -> bool:
    there, then = version_number(job.topology.server_version), version_number(job.manifest.server_version)
    if there[:2] != then[:2]:
        log.info("the target is another version than the source: options are not compared word by word")
    return there[:2] == then[:2]


def _compare_routing(job: RestoreJob, comparison: Comparison) -> None:
    comparison.uuids, differences = compare_routing(
        config=job.config.client,
        host=job.config.host,
        shards=job.cluster.shards,
        namespaces={namespace: job.routing.uuid(namespace) for namespace in job.routing.collections},
    )
    comparison.differences += differences
