"""What changed from one set to another: namespaces, documents, bytes, options, indexes."""

from __future__ import annotations

from collections.abc import Iterable

from mongo_backup.manifest.model import Manifest, NamespaceRecord
from mongo_backup.model import Model

_MODULUS = 1 << 128


class NamespaceChange(Model):
    """One namespace of both sets, over all components."""

    namespace: str
    documents: tuple[int, int]
    bytes: tuple[int, int]
    content: bool
    """The documents differ, even where there are as many."""
    options: bool
    type: bool
    indexes_added: tuple[str, ...] = ()
    indexes_removed: tuple[str, ...] = ()
    indexes_changed: tuple[str, ...] = ()


class SetDiff(Model):
    """From one set to another."""

    before: str
    after: str
    documents: tuple[int, int]
    bytes: tuple[int, int]
    added: dict[str, int]
    """Namespaces that are new, with their documents."""
    removed: dict[str, int]
    """Namespaces that are gone, with the documents they had."""
    changed: tuple[NamespaceChange, ...] = ()
    same: int = 0
    """Namespaces in which nothing changed."""


def diff(before: Manifest, after: Manifest) -> SetDiff:
    """Compare two sets."""
    old, new = _namespaces(before), _namespaces(after)
    both = [_change(old[name], new[name]) for name in sorted(old.keys() & new.keys())]
    changed = tuple(change for change in both if change is not None)
    return SetDiff(
        before=before.set_id,
        after=after.set_id,
        documents=(before.documents, after.documents),
        bytes=(before.bytes, after.bytes),
        added={name: sum(r.documents for r in new[name]) for name in sorted(new.keys() - old.keys())},
        removed={name: sum(r.documents for r in old[name]) for name in sorted(old.keys() - new.keys())},
        changed=changed,
        same=len(both) - len(changed),
    )


def _namespaces(manifest: Manifest) -> dict[str, list[NamespaceRecord]]:
    found: dict[str, list[NamespaceRecord]] = {}
    for component in manifest.components:
        for record in component.namespaces:
            found.setdefault(record.namespace, []).append(record)
    return found


def _digest(records: Iterable[NamespaceRecord]) -> int:
    return sum(int(record.digest, 16) for record in records) % _MODULUS


def _change(old: list[NamespaceRecord], new: list[NamespaceRecord]) -> NamespaceChange | None:
    there = {str(index["name"]): index for record in old for index in record.indexes}
    now = {str(index["name"]): index for record in new for index in record.indexes}
    change = NamespaceChange(
        namespace=old[0].namespace,
        documents=(sum(r.documents for r in old), sum(r.documents for r in new)),
        bytes=(sum(r.bytes for r in old), sum(r.bytes for r in new)),
        content=_digest(old) != _digest(new),
        options=old[0].options != new[0].options,
        type=old[0].type != new[0].type,
        indexes_added=tuple(sorted(now.keys() - there.keys())),
        indexes_removed=tuple(sorted(there.keys() - now.keys())),
        indexes_changed=tuple(sorted(name for name in there.keys() & now.keys() if there[name] != now[name])),
    )
    indexes = change.indexes_added or change.indexes_removed or change.indexes_changed
    return change if change.content or change.options or change.type or indexes else None
