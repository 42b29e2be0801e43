"""What a restore will do, decided before anything is touched: components, drops, conflicts, and all that in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import ComponentRecord, Manifest, NamespaceRecord
from mongo_backup.namespaces import data_name
from mongo_backup.objects.configuration import Consistency
from mongo_backup.restore.drop import NEVER_DROPPED, DropPlan
from mongo_backup.restore.inspection import Namespace, TargetState, known_name, mapped_owners
from mongo_backup.restore.routing import Routing
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.topology.model import ComponentRole

_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class RestorePlan:
    """The decision.

    :param mapping: the target's component for each component of the set.
    :param dropped: namespaces on the target that go.
    """

    mapping: dict[str, str]
    drop: DropPlan
    dropped: tuple[str, ...]
    namespaces: int
    documents: int
    bytes: int
    warnings: tuple[str, ...]
    words: tuple[str, ...]


def selected(component: ComponentRecord, rules: RestoreRules) -> list[NamespaceRecord]:
    """The namespaces of a component whose documents are restored; a time series is two of them."""
    return [record for record in component.namespaces if rules.accepts(record.db, record.collection)]


def written_namespaces(manifest: Manifest, rules: RestoreRules) -> set[Namespace]:
    """All namespaces that the restore writes, by the names that users know on the target."""
    names = set()
    for component in manifest.components:
        for record in selected(component, rules):
            db, collection = rules.new_name(record.db, record.collection)
            names.add((db, data_name(collection)))
    return names


def drop_plan(manifest: Manifest, rules: RestoreRules, present: set[Namespace]) -> DropPlan:
    """What `existing: drop` drops: databases whole if both backup and restore are, else namespace by namespace."""
    wanted = written_namespaces(manifest, rules)
    if not rules.whole or manifest.include or manifest.exclude:
        return DropPlan(namespaces=frozenset(wanted & present))
    databases = frozenset(db for db, _ in wanted) - NEVER_DROPPED
    return DropPlan(
        databases=databases, namespaces=frozenset(name for name in wanted & present if name[0] not in databases)
    )


def make_plan(
    *,
    manifest: Manifest,
    mapping: Mapping[str, str],
    rules: RestoreRules,
    existing: str,
    users: str,
    state: TargetState,
    routing: Routing | None,
    target: str,
    warnings: tuple[str, ...] = (),
) -> RestorePlan:
    """Decide, and refuse what cannot work.

    :param existing: `refuse`, `drop` or `merge`.
    :param users: `skip`, `merge` or `replace`.
    :param routing: of a sharded set.
    :param target: the AppBinding's name, for the words.
    :raises PreconditionError: what would be written exists, routing contradicts, or nothing is selected.
    """
    wanted = written_namespaces(manifest, rules)
    if not wanted:
        raise PreconditionError(
            f"nothing of set {manifest.set_id} is selected: include and exclude leave no namespace (patterns are"
            " `database.collection`, `database.*`)"
        )
    _check_new_names(manifest, rules)
    plan = drop_plan(manifest, rules, state.everywhere) if existing == "drop" else DropPlan()
    if existing == "refuse":
        _refuse_existing(wanted & state.everywhere, target)
    if routing is not None:
        _check_primary_shards(routing, mapping, state, plan)
        if existing == "merge":
            _check_merge(routing, wanted, state)
    going = {name for name in state.everywhere if name in plan.namespaces or name[0] in plan.databases}
    records = [record for component in manifest.components for record in selected(component, rules)]
    dropped = tuple(sorted(f"{db}.{collection}" for db, collection in going))
    return RestorePlan(
        mapping=dict(mapping),
        drop=plan,
        dropped=dropped,
        namespaces=len(wanted),
        documents=sum(record.documents for record in records),
        bytes=sum(record.bytes for record in records),
        warnings=warnings,
        words=tuple(_words(manifest, mapping, rules, users, state, routing, target, plan, dropped)),
    )


def _refuse_existing(conflicts: set[Namespace], target: str) -> None:
    if conflicts:
        names = sorted(f"{db}.{collection}" for db, collection in conflicts)
        raise PreconditionError(
            f"{len(names)} namespaces of the backup exist on {target}: {_listed(names)}; nothing was touched. Restore"
            " with existing: drop or merge, or leave them out by exclude"
        )


def _check_new_names(manifest: Manifest, rules: RestoreRules) -> None:
    known = {(r.db, r.collection) for component in manifest.components for r in selected(component, rules)}
    new = {rules.new_name(db, collection) for db, collection in known}
    if len(new) != len(known):
        raise PreconditionError(f"rename gives two namespaces the same name: {rules.rename}")


def _check_primary_shards(routing: Routing, mapping: Mapping[str, str], state: TargetState, plan: DropPlan) -> None:
    for db, shard in mapped_owners(routing, mapping).items():
        there = state.primary_shards.get(db)
        if there is not None and there != shard and db not in plan.databases:
            raise PreconditionError(
                f"database {db} has the primary shard {there} on the target and gets {shard} from the backup: restore"
                " all of it with existing: drop, or move its primary there first (movePrimary)"
            )


def _check_merge(routing: Routing, wanted: set[Namespace], state: TargetState) -> None:
    """Documents go to the shard that they come from; so a collection that exists must be routed as it was."""
    sharded = set(map(known_name, routing.collections))
    one_sided = (wanted & state.everywhere & sharded) ^ (wanted & state.routed)
    if conflicts := sorted(f"{db}.{collection}" for db, collection in one_sided | state.routed_otherwise):
        raise PreconditionError(
            f"merge cannot bring together collections that are routed in two ways: {_listed(conflicts)} have other"
            " chunks or UUIDs on the target than in the backup; restore them with existing: drop, or leave them out by"
            " exclude"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _words(
    manifest: Manifest,
    mapping: Mapping[str, str],
    rules: RestoreRules,
    users: str,
    state: TargetState,
    routing: Routing | None,
    target: str,
    plan: DropPlan,
    dropped: tuple[str, ...],
) -> Iterator[str]:
    point = f"at cluster time {manifest.cluster_time}" if manifest.cluster_time else f"on {manifest.started:%F %T} UTC"
    yield (
        f"Restore set {manifest.set_id} of {manifest.configuration} (session {manifest.session}), taken {point} from"
        f" MongoDB {manifest.server_version}, into {target}"
    )
    if manifest.consistency is Consistency.NONE:
        yield "The set is of no single point in time (a standalone has no oplog)"
    if plan.databases:
        yield f"Drop whole databases: {_listed(sorted(plan.databases))}"
    if dropped:
        yield f"Drop {len(dropped)} namespaces: {_listed(list(dropped))}"
    for component in manifest.components:
        records = selected(component, rules)
        if component.role is ComponentRole.CONFIG and not records:
            continue
        documents, size = sum(record.documents for record in records), sum(record.bytes for record in records)
        yield (
            f"{component.name} into {mapping[component.name]}: {len(records)} namespaces, {documents} documents,"
            f" {size / 1e6:.1f} MB"
        )
    if routing is not None:
        yield (
            f"Routing: {len(routing.databases)} databases, {len(routing.collections)} sharded collections,"
            f" {len(routing.chunks)} chunks, {len(routing.tags)} zones' ranges"
        )
    if rules.rename:
        yield "New names: " + ", ".join(f"{old} becomes {new}" for old, new in rules.rename.items())
    yield f"Users and roles: {users}"
    if state.other_databases:
        yield f"Left alone: databases {_listed(sorted(state.other_databases))}, which are not written"
