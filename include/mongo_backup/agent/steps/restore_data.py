"""Writing: drop what is replaced, then documents, routing, indexes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mongo_backup.agent.restore_contract import (
    DropResult,
    Existing,
    IndexesResult,
    MetadataResult,
    RestoreRequest,
    RestoreResult,
    UserPolicy,
)
from mongo_backup.agent.steps.restore_common import RestoreJob, Target, open_job
from mongo_backup.agent.steps.restore_plan import inspect_target
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.restore.component import ComponentTarget, Restored, read_specs, restore_archive
from mongo_backup.restore.drop import drop_in_cluster, drop_on_member, forget_range_deletions
from mongo_backup.restore.indexes import build_indexes as build_on_component
from mongo_backup.restore.metadata import refresh_router, refresh_shard, reset_placement_history, write_routing
from mongo_backup.restore.plan import drop_plan
from mongo_backup.restore.specs import CollectionSpec
from mongo_backup.restore.users import Protected, account, account_in_use, restore_accounts
from mongo_backup.topology.model import ComponentRole

log = logging.getLogger(__name__)

_MAX_THREADS = 8
ResultOf = TypeVar("ResultOf")


def drop_existing(request: RestoreRequest, credentials: Credentials) -> DropResult:
    """Drop what the restore replaces, if `existing` says so; doing it again does no harm."""
    if request.parameters.existing is not Existing.DROP:
        log.info("existing: %s, so nothing is dropped", request.parameters.existing)
        return DropResult()
    with open_job(request, credentials) as job:
        plan = drop_plan(job.manifest, job.rules, inspect_target(job).everywhere)
        if job.sharded:
            dropped = drop_in_cluster(job.cluster, plan)
            dropped.collections += drop_on_member(client=job.config.client, host=job.config.host, plan=plan).collections
        else:
            target = job.targets[0]
            dropped = drop_on_member(client=target.client, host=target.host, plan=plan)
    return DropResult(databases=dropped.databases, collections=dropped.collections)


def restore(request: RestoreRequest, credentials: Credentials) -> RestoreResult:
    """Write one component's collections, documents, users and roles into its primary.

    :raises ArchiveError: the archive is damaged or cut off.
    :raises PermanentError: a document was refused.
    """
    if request.component is None:
        raise ConfigurationError("the request names no component: `restore` does one at a time")
    with open_job(request, credentials) as job:
        target = job.target(request.component)
        shard = target.record.role is ComponentRole.SHARD
        if shard:
            uuids = [job.routing.uuid(namespace) for namespace in job.routing.collections]
            forget_range_deletions(client=target.client, host=target.host, uuids=uuids)
        where = ComponentTarget(
            client=target.client,
            name=target.component.name,
            host=target.host,
            rules=job.rules,
            keep_uuids=job.sharded,
            shard_keys=job.routing.shard_keys if shard else {},
            records=target.record.namespaces,
            merge=request.parameters.existing is Existing.MERGE,
            own_leftovers=request.try_number > 1,
            threads=request.objects.addon.spec.function("restore").threads * 4,
        )
        with job.archive(target.record) as stream:
            restored = restore_archive(stream, where)
        users, roles = _accounts(job, target, restored)
    return RestoreResult(
        component=target.record.name,
        target=target.component.name,
        collections=restored.collections,
        documents=restored.documents,
        bytes=restored.bytes,
        seconds=round(restored.seconds, 3),
        users=users,
        roles=roles,
    )


def _accounts(job: RestoreJob, target: Target, restored: Restored) -> tuple[int, int]:
    policy = job.request.parameters.users
    if policy is UserPolicy.SKIP:
        log.info("%s: users and roles stay as they are (users: skip)", target.component.name)
        return 0, 0
    protected = account_in_use(target.client, target.host) | _backup_account(job, target)
    return restore_accounts(
        client=target.client,
        host=target.host,
        policy=policy.value,
        users=restored.users,
        roles=restored.roles,
        protected=protected,
    )


def _backup_account(job: RestoreJob, target: Target) -> Protected:
    """The target's own backup user must survive too: without it there would be no further backups."""
    with Connector(binding=job.request.binding, credentials=job.credentials) as backup:
        username = backup.username
    if username is None:
        return Protected()
    database = job.request.binding.spec.auth_source
    return account(target.client, target.host, username=username, database=database)


def restore_metadata(request: RestoreRequest, credentials: Credentials) -> MetadataResult:
    """Write the routing of a sharded set, then let shards and routers read it anew.

    Without shards there is nothing to do.
    """
    if request.binding.spec.topology is not TopologyKind.SHARDED:
        log.info("no routing: the target is a %s", request.binding.spec.topology)
        return MetadataResult()
    with open_job(request, credentials) as job:
        config = job.config
        keep: set[str] = set()
        if request.parameters.existing is Existing.MERGE:
            known = config.client.config.collections.distinct("_id")
            keep = job.routing.collections.keys() & set(known)
        written = write_routing(
            config=config.client, host=config.host, routing=job.routing, shard_map=job.shard_map, keep=keep
        )
        reset_placement_history(config.client, config.host)
        for client, host in job.cluster.shards.values():
            refresh_shard(
                client=client, host=host, databases=job.routing.databases, collections=job.routing.collections
            )
        for host in job.topology.mongos:
            refresh_router(job.connector.member(host), host)
        log.info(
            "routing: %d databases, %d sharded collections, %d chunks, %d zones' ranges, %d settings; %d shards and %d"
            " routers read it anew",
            *(written.databases, written.collections, written.chunks, written.tags, written.settings),
            *(len(job.cluster.shards), len(job.topology.mongos)),
        )
    return MetadataResult(
        databases=written.databases,
        collections=written.collections,
        chunks=written.chunks,
        tags=written.tags,
        settings=written.settings,
    )


def build_indexes(request: RestoreRequest, credentials: Credentials) -> IndexesResult:
    """Build the indexes, all components side by side; those that let documents expire come after the comparison.

    :raises PermanentError: an index cannot be built.
    """
    began = time.monotonic()
    with open_job(request, credentials) as job:
        built = on_every_component(
            job,
            lambda target, specs: build_on_component(client=target.client, host=target.host, specs=specs),
        )
    warnings = [warning for each in built for warning in each.warnings]
    return IndexesResult(
        indexes=sum(each.indexes for each in built),
        seconds=round(time.monotonic() - began, 3),
        warnings=tuple(warning[:200] for warning in warnings[:5]),
    )


def on_every_component(
    job: RestoreJob,
    act: Callable[[Target, list[CollectionSpec]], ResultOf],
    *,
    where: Callable[[Target], bool] = lambda _: True,
) -> list[ResultOf]:
    """Act on each component (where there is something to do) and what its archive announces, side by side."""

    def one(target: Target) -> ResultOf:
        with job.archive(target.record) as stream:
            specs = read_specs(stream, rules=job.rules, records=target.record.namespaces)
            stream.abort()
        return act(target, specs)

    _ = job.rules  # made once, before threads ask for it
    with ThreadPoolExecutor(max_workers=_MAX_THREADS) as pool:
        return list(pool.map(one, filter(where, job.targets)))
