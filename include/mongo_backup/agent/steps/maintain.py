"""Maintenance of a repository: checked part by part, and rid of what no set needs any more."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from mongo_backup import clock
from mongo_backup.agent.contract import FinishResult, MetricsResult
from mongo_backup.agent.maintain_contract import CheckResult, MaintainRequest, MaintainStep, PruneResult
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import MongoBackupError, TargetBusyError
from mongo_backup.locks.release import sweep
from mongo_backup.locks.target import at_work
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.maintenance import MaintenanceMetrics, push_maintenance
from mongo_backup.objects.maintenance import MaintenanceSettings
from mongo_backup.repository.damage import describe
from mongo_backup.repository.labels import Label
from mongo_backup.repository.pipe import BackupSink
from mongo_backup.repository.restic import Repository
from mongo_backup.repository.upkeep import DamagedError, Pruned, RefusedDeletionError
from mongo_backup.topology.discover import discover

log = logging.getLogger(__name__)

PART = "maintenance"
"""The component and the part of a check's record; its tag `checked` is the part of the data that was read."""
RECORD_FILE = "/maintenance.json"
POLL_SECONDS = 10.0
_WORDS = 500
"""Of the store's words in a result."""


def check(request: MaintainRequest, credentials: Credentials) -> CheckResult:
    """Check the repository's structure and the next part of its data; locks of processes that are gone go first.

    The part stands in the repository: a part that is damaged is read again until it is not, and none is left out.

    :raises PermanentError: something is damaged; it names the packs and the sets that need them.
    :raises ConflictError: a backup or restore is still at work.
    """
    settings, began = request.settings, time.monotonic()
    with _open(request, credentials) as repository, _nobody_else(request, credentials):
        repository.unlock_stale()
        part = next_part(repository, settings.check_parts)
        subset = f"{part}/{settings.check_parts}"
        log.info("Checking the structure, and part %s of the data", subset)
        timeout, wait = settings.timeout.total_seconds(), settings.wait.total_seconds()
        try:
            repository.check(read_data_subset=subset, timeout=timeout, wait_seconds=wait)
        except DamagedError as error:
            raise DamagedError(describe(repository, error)) from None
        snapshots = repository.snapshots(all_hosts=True)
        record_part(repository, subset)
    seconds = round(time.monotonic() - began, 3)
    log.info("Nothing is damaged: %d snapshots, part %s of the data, in %.1f s", len(snapshots), subset, seconds)
    return CheckResult(part=part, parts=settings.check_parts, snapshots=len(snapshots), seconds=seconds)


def prune(request: MaintainRequest, credentials: Credentials) -> PruneResult:
    """Remove the data that no snapshot needs any more. What an interrupted one left half done is finished by it.

    :raises ConflictError: a backup or restore is still at work.
    """
    settings, began = request.settings, time.monotonic()
    with _open(request, credentials) as repository, _nobody_else(request, credentials):
        done, refusal = _prune(settings, repository) if settings.prune else (None, None)
        stored = repository.stats().total_size if done is None or done.stored_bytes is None else done.stored_bytes
        sets = len(SetCatalog.read(repository).complete())
    freed = (done.freed_bytes or 0) if done else 0
    log.info("The repository holds %d sets in %.1f MB; %.1f MB were freed", sets, stored / 1e6, freed / 1e6)
    seconds = round(time.monotonic() - began, 3)
    return PruneResult(stored_bytes=stored, freed_bytes=freed, sets=sets, seconds=seconds, refused=refusal)


def _prune(settings: MaintenanceSettings, repository: Repository) -> tuple[Pruned | None, str | None]:
    """What was freed, or the store's words where it does not let go of data: that is how somebody wants it."""
    try:
        wait = settings.wait.total_seconds()
        return repository.prune(timeout=settings.timeout.total_seconds(), wait_seconds=wait), None
    except RefusedDeletionError as error:
        log.warning("Nothing was pruned: %s. If that is meant, write `prune: false` in `maintenance`", error)
        return None, error.message[:_WORDS]


def push_metrics(request: MaintainRequest, credentials: Credentials) -> MetricsResult:
    """Push numbers about this maintenance to the configuration's Pushgateway, if it has one."""
    settings, pruned = request.objects.configuration.spec.metrics, request.pruned
    if settings is None:
        return MetricsResult(pushed=False, reason="the configuration names no Pushgateway")
    return push_maintenance(
        settings.pushgateway,
        MaintenanceMetrics(
            repository=request.objects.name,
            attempt=Attempt.now(
                success=request.states.get(MaintainStep.PRUNE) == "success",
                seconds=request.run_seconds or sum(request.step_seconds.values()),
                step_seconds=request.step_seconds,
                schedule=request.settings.schedule,
            ),
            stored_bytes=pruned.stored_bytes if pruned else None,
            freed_bytes=pruned.freed_bytes if pruned else None,
            sets=pruned.sets if pruned else None,
            refused=pruned.refused is not None if pruned else None,
        ),
    )


def finish(request: MaintainRequest, credentials: Credentials) -> FinishResult:
    """Let go of the target, and of restic's locks whose process is gone.

    The target comes first: a repository that is away must not keep backups waiting.
    """
    swept = _leave_target(request, credentials)
    with _open(request, credentials) as repository:
        removed, _ = repository.remove_stale_locks()
    stale = tuple(f"a stale lock of restic ({each[:8]})" for each in removed)
    return FinishResult(swept=(*swept, *stale))


def _leave_target(request: MaintainRequest, credentials: Credentials) -> tuple[str, ...]:
    if request.objects.copy_name is not None:
        return ()
    try:
        with Connector(binding=request.objects.target, credentials=credentials) as connector:
            discover(connector)
            return tuple(sweep(connector, request.run.owner))
    except MongoBackupError as error:
        log.warning("The target does not answer; what this run held there ends by itself: %s", error)
        return ()


# The record


def next_part(repository: Repository, parts: int) -> int:
    """Which part of the data comes next: the one after that of the newest record."""
    records = repository.snapshots(tags=(f"part={PART}",))
    last, _, of = (records[-1].tag("checked") or "").partition("/") if records else ("", "", "")
    if not last.isdigit() or of != str(parts):  # the first one, or another number of parts
        return 1
    return int(last) % parts + 1


def record_part(repository: Repository, subset: str) -> None:
    """Note which part was read, and forget older notes as far as the store lets us."""
    old = [each.id for each in repository.snapshots(tags=(f"part={PART}",))]
    with BackupSink(repository, Label(component=PART, part="maintenance", checked=subset), RECORD_FILE) as sink:
        sink.write(json.dumps({"checked": subset, "at": clock.now().isoformat(timespec="seconds")}).encode())
        sink.finish()
    try:
        repository.forget(old)
    except MongoBackupError as error:
        log.warning("Older notes of checks stay: %s", error)


# Alone


@contextmanager
def _nobody_else(request: MaintainRequest, credentials: Credentials) -> Iterator[None]:
    """Hold the target's lease, so that no backup or restore begins; wait for one that runs.

    restic's own exclusive lock alone would break a backup that begins meanwhile, with its members locked. A target that
    does not answer is no reason to leave its repository alone: then restic's lock is all there is. A copy is written
    while nothing is held, by a task that waits for that lock: the target has no part in it.
    """
    with ExitStack() as stack:
        if request.objects.copy_name is not None:
            yield
            return
        try:
            connector = stack.enter_context(Connector(binding=request.objects.target, credentials=credentials))
            discover(connector)  # the journal waits minutes for a target that does not answer
            _wait_for_others(request, connector, stack)
        except TargetBusyError:
            raise
        except MongoBackupError as error:
            log.warning("The target does not answer, so only restic's own lock keeps backups away: %s", error)
        yield


def _wait_for_others(request: MaintainRequest, connector: Connector, stack: ExitStack) -> None:
    deadline = time.monotonic() + request.settings.wait.total_seconds()
    told = False
    while True:
        try:
            stack.enter_context(at_work(connector, owner=request.run.owner))
        except TargetBusyError as error:
            if time.monotonic() >= deadline:
                raise
            if not told:
                log.info("Waiting: %s", error)
                told = True
            time.sleep(min(POLL_SECONDS, max(0.1, deadline - time.monotonic())))
        else:
            return


def _open(request: MaintainRequest, credentials: Credentials) -> Repository:
    return Repository.of(
        configuration=request.objects.configuration, storage=request.objects.storage, credentials=credentials
    )
