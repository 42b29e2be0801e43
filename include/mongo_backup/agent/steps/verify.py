"""Verification: a set is restored into a throw-away MongoDB and compared with its manifest."""

from __future__ import annotations

import logging
from datetime import datetime

from mongo_backup import __version__, clock
from mongo_backup.agent.contract import FinishResult, MetricsResult
from mongo_backup.agent.verify_contract import ChooseResult, VerificationResult, VerifyRequest, VerifyStep
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError, MongoBackupError, PermanentError, VerificationError
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.manifest.model import ComponentRecord, Manifest
from mongo_backup.manifest.store import MANIFEST_FILE, decode_manifest
from mongo_backup.memory import return_large_pieces
from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.verification import VerificationMetrics, push_verification
from mongo_backup.repository.read import SnapshotReader, read_file
from mongo_backup.repository.restic import Repository
from mongo_backup.verify.record import VerificationRecord, write_record
from mongo_backup.verify.throwaway import sweep, throwaway
from mongo_backup.verify.whole_set import Findings, SetVerifier

log = logging.getLogger(__name__)

VERDICTS = (VerificationError, PermanentError)
"""What these say is true of the set itself; any other error says that it could not be looked at."""


def choose_set(request: VerifyRequest, credentials: Credentials) -> ChooseResult:
    """Choose the newest complete set, or the one that is asked for.

    :raises PreconditionError: there is none.
    """
    with _open(request, credentials) as repository:
        entry = SetCatalog.read(repository).find(request.parameters.snapshot, session=request.settings.session)
    before = f", last time {entry.verdict} ({entry.judged:%F %T} UTC)" if entry.judged else ""
    log.info("Set %s, complete since %s UTC%s", entry.set_id, f"{entry.time:%F %T}", before)
    return ChooseResult(
        set_id=entry.set_id,
        manifest_id=str(entry.manifest_id),
        session=entry.session,
        time=entry.time,
        verdict=entry.verdict,
    )


def restore_and_compare(request: VerifyRequest, credentials: Credentials) -> VerificationResult:
    """Restore the set into a throw-away MongoDB, compare it with its manifest, run the checks, record the verdict.

    :raises VerificationError: the set is not what its manifest says, or cannot be restored; the repository says so too.
    :raises PreconditionError: it could not be looked at (no room, too old a server); nothing is recorded.
    """
    if request.chosen is None:
        raise ConfigurationError("the request names no set: it comes from the step choose_set")
    return_large_pieces()
    started, findings = clock.now(), Findings()
    with _open(request, credentials) as repository:
        try:
            manifest, version = _verify(request, repository, findings)
        except VERDICTS as error:
            _record(repository, _described(request, started, findings, reason=error.message), tolerant=True)
            raise VerificationError(f"set {request.chosen.set_id} failed its verification: {error.message}") from error
        record = _described(request, started, findings, version=version)
        record_id = _record(repository, record)
    log.info(
        "Set %s is verified: %d namespaces, %d documents, %.1f MB, %d digests, %d indexes, %d checks, in %.1f s",
        *(record.set_id, record.namespaces, record.documents, record.bytes / 1e6, record.digests, record.indexes),
        *(len(record.checks), record.seconds),
    )
    return VerificationResult(
        record_id=record_id,
        consistency=manifest.consistency,
        cluster_time=manifest.cluster_time,
        server_version=version,
        checks=len(record.checks),
        seconds=round(record.seconds, 3),
        **record.model_dump(
            include={"set_id", "session", "finished", "namespaces", "documents", "bytes", "digests", "indexes"}
        ),
    )


def push_metrics(request: VerifyRequest, credentials: Credentials) -> MetricsResult:
    """Push numbers about this verification to the configuration's Pushgateway, if it has one."""
    settings = request.objects.configuration.spec.metrics
    if settings is None:
        return MetricsResult(pushed=False, reason="the configuration names no Pushgateway")
    found = request.verified
    return push_verification(
        settings.pushgateway,
        VerificationMetrics(
            configuration=request.objects.configuration.name,
            copy_name=request.objects.copy_name,
            attempt=Attempt.now(
                success=request.states.get(VerifyStep.RESTORE_AND_COMPARE) == "success",
                seconds=request.run_seconds or sum(request.step_seconds.values()),
                step_seconds=request.step_seconds,
                schedule=None if request.objects.copy_name else request.settings.schedule,
            ),
            cluster_time=found.cluster_time if found else None,
            namespaces=found.namespaces if found else 0,
            documents=found.documents if found else 0,
            bytes=found.bytes if found else 0,
            checks=found.checks if found else 0,
        ),
    )


def finish(request: VerifyRequest, credentials: Credentials) -> FinishResult:
    """Remove what a verification that was killed may have left on this machine."""
    return FinishResult(swept=sweep(request.settings))


def _open(request: VerifyRequest, credentials: Credentials) -> Repository:
    return Repository.of(
        configuration=request.objects.configuration, storage=request.objects.storage, credentials=credentials
    )


def _verify(request: VerifyRequest, repository: Repository, findings: Findings) -> tuple[Manifest, str]:
    """Do it, and fill in the findings; returns the manifest and the server's version."""
    chosen = request.chosen
    if chosen is None:
        raise ConfigurationError("the request names no set")
    manifest = decode_manifest(read_file(repository, chosen.manifest_id, MANIFEST_FILE), chosen.set_id)
    _require_archives(repository, manifest)

    def archive(record: ComponentRecord) -> SnapshotReader:
        return SnapshotReader(repository, record.archive_id, record.archive_file)

    with throwaway(request.settings) as server:
        SetVerifier(
            manifest=manifest,
            server=server,
            settings=request.settings,
            open_archive=archive,
            threads=request.objects.addon.spec.function("verify").threads * 2,
            findings=findings,
        ).run()
        return manifest, server.version


def _require_archives(repository: Repository, manifest: Manifest) -> None:
    there = {each.id for each in repository.snapshots(tags=(f"set={manifest.set_id}",))}
    if missing := sorted(each.name for each in manifest.components if each.archive_id not in there):
        raise VerificationError(f"the repository has no archive of {', '.join(missing)} any more")


def _described(
    request: VerifyRequest,
    started: datetime,
    findings: Findings,
    *,
    reason: str | None = None,
    version: str | None = None,
) -> VerificationRecord:
    comparison, chosen = findings.comparison, request.chosen
    if chosen is None:
        raise ConfigurationError("the request names no set")
    return VerificationRecord(
        set_id=chosen.set_id,
        session=chosen.session,
        result="failed" if reason else "verified",
        reason=reason,
        started=started,
        finished=clock.now(),
        server_version=version,
        namespaces=comparison.namespaces,
        documents=comparison.documents,
        bytes=comparison.bytes,
        digests=comparison.digests,
        indexes=findings.indexes,
        checks=tuple(findings.checks),
        owner=request.run.owner,
        core_version=__version__,
    )


def _record(repository: Repository, record: VerificationRecord, *, tolerant: bool = False) -> str:
    """Keep the verdict.

    :param tolerant: the verdict itself is an error already: it matters more than that it could not be kept.
    """
    try:
        return write_record(repository, record)
    except MongoBackupError as error:
        if not tolerant:
            raise
        log.error("The verdict could not be recorded in the repository: %s", error)
        return ""
