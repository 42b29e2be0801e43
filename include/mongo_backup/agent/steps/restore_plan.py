"""Before anything is touched: what a restore will do, and whether it can."""

from __future__ import annotations

import logging

from mongo_backup.agent.restore_contract import Existing, PlanResult, RestoreRequest
from mongo_backup.agent.steps.restore_common import RestoreJob, open_job
from mongo_backup.credentials import Credentials
from mongo_backup.locks.target import RESTORE_LEASE_SECONDS, occupy
from mongo_backup.restore.checks import (
    check_primary,
    check_privileges,
    check_unlocked,
    check_versions,
    space_warnings,
)
from mongo_backup.restore.inspection import TargetState, compare_with_backup, inspect_member, inspect_routing
from mongo_backup.restore.plan import RestorePlan, make_plan, selected, written_namespaces

log = logging.getLogger(__name__)

_WORDS_BYTES = 1500
"""Of the result, which stays below 4 KiB; the log has all."""


def plan_restore(request: RestoreRequest, credentials: Credentials) -> PlanResult:
    """Look at set and target, decide, and say in words what will be done.

    When all is well the target is taken, unless a person must approve the plan: who knows when that will be.

    :raises TargetBusyError: another run is at work on the target.
    :raises PreconditionError: the restore cannot work, or would touch what nobody allowed; nothing was touched.
    """
    with open_job(request, credentials, acting=False) as job:
        plan = make_plan(
            manifest=job.manifest,
            mapping={name: component.name for name, component in job.mapping.items()},
            rules=job.rules,
            existing=request.parameters.existing,
            users=request.parameters.users,
            routing=job.routing if job.sharded else None,
            state=_compared(job, inspect_target(job)),
            target=request.binding.name,
            warnings=_check_target(job),
        )
        for line in plan.words:
            log.info("Plan: %s", line)
        for warning in plan.warnings:
            log.warning("Plan: %s", warning)
        if not request.objects.configuration.spec.restore.approval:
            occupy(job.connector, owner=request.run.owner, lease_seconds=RESTORE_LEASE_SECONDS)
        return _result(job, plan)


def inspect_target(job: RestoreJob) -> TargetState:
    """What the target holds in the databases that the restore writes."""
    databases = {db for db, _ in written_namespaces(job.manifest, job.rules)}
    state = TargetState()
    for component in job.topology.components:
        inspect_member(
            state,
            client=job.client(component),
            host=check_primary(component),
            component=component.name,
            databases=databases,
        )
    if job.sharded:
        inspect_routing(state, config=job.config.client, host=job.config.host, databases=databases)
    return state


def _compared(job: RestoreJob, state: TargetState) -> TargetState:
    if job.sharded:
        compare_with_backup(
            state,
            config=job.config.client,
            host=job.config.host,
            routing=job.routing,
            shard_map=job.shard_map,
        )
    return state


def _check_target(job: RestoreJob) -> tuple[str, ...]:
    check_versions(job.manifest, job.topology)
    parameters, warnings = job.request.parameters, list[str]()
    for target in job.targets:
        check_unlocked(target.client, target.host)
        check_privileges(
            target.client,
            target.host,
            sharded=job.sharded,
            drop=parameters.existing is Existing.DROP,
            users=parameters.users,
        )
        size = sum(record.bytes for record in selected(target.record, job.rules))
        warnings += space_warnings(target.client, target.host, size=size)
    return tuple(warnings)


def _result(job: RestoreJob, plan: RestorePlan) -> PlanResult:
    words: list[str] = []
    for line in plan.words:
        if sum(len(word.encode()) for word in words) + len(line.encode()) > _WORDS_BYTES:
            words.append("... (the log has the whole plan)")
            break
        words.append(line)
    return PlanResult(
        set_id=job.manifest.set_id,
        manifest_id=job.manifest_id,
        topology=job.manifest.topology,
        components=plan.mapping,
        namespaces=plan.namespaces,
        documents=plan.documents,
        bytes=plan.bytes,
        dropped=len(plan.dropped),
        consistency=job.manifest.consistency,
        cluster_time=job.manifest.cluster_time,
        warnings=plan.warnings[:3],
        words=tuple(words),
    )
