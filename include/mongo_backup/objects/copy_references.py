"""What the copies of a configuration need beyond their own fields: other objects, and a place that nobody else uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.problems import Path

if TYPE_CHECKING:
    from mongo_backup.objects.object_set import ObjectSet

_HOW = {"credentials", "transfer", "pool", "ca_file", "region", "path_style", "storage_class", "project"}
"""Fields of a store that say how it is reached, not where it is."""


def copies_of(configuration: BackupConfiguration) -> Iterator[tuple[Path, str, CopySettings]]:
    """Each copy with its path in the object and its session's name."""
    for number, session in enumerate(configuration.spec.sessions):
        for index, copy in enumerate(session.copies):
            yield ("spec", "sessions", number, "copies", index), session.name, copy


def wanted_by_copies(configuration: BackupConfiguration) -> Iterator[tuple[Path, str, str]]:
    """The objects that copies name: path, kind, name."""
    for path, _, copy in copies_of(configuration):
        yield (*path, "storage", "name"), "BackupStorage", copy.storage.name
        if copy.retention_policy:
            yield (*path, "retention_policy", "name"), "RetentionPolicy", copy.retention_policy.name


def secrets_of_copies(
    configuration: BackupConfiguration, objects: ObjectSet
) -> Iterator[tuple[Path, str, CredentialsReference | None]]:
    """The credentials that copies name: path, whose, reference."""
    for path, _, copy in copies_of(configuration):
        storage = objects.storages.get(copy.storage.name)
        yield (*path, "encryption"), "this", copy.encryption
        yield (
            (*path, "storage"),
            "the BackupStorage's `credentials`",
            storage.spec.credentials if storage else None,
        )


def impossible_copies(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[tuple[Path, str]]:
    """Copies into a repository that is somebody else's, or whose name means two things."""
    copies = tuple(copies_of(configuration))
    if not copies:  # the places of all others are looked at for nothing
        return
    taken = dict(_taken(configuration, objects))
    named: dict[str, tuple[str, Any]] = {}
    placed: dict[Any, str] = {}
    for path, session, copy in copies:
        place = _place(objects, copy.storage.name, copy.repository or configuration.repository_name)
        if place is None:  # an unknown storage is told already
            continue
        if whose := taken.get(place):
            yield (
                (*path, "storage"),
                f"the copy would be the repository of {whose} itself; name another BackupStorage, or another "
                "`repository` (folder) in this one",
            )
        one = (place, copy.encryption, copy.maintenance)
        first, meant = named.setdefault(copy.name, (session, one))
        if meant != one:
            yield (
                (*path, "name"),
                f"session {first!r} has a copy {copy.name!r} with another storage, repository, encryption or "
                "maintenance; write the same there, or give this copy another name",
            )
        if placed.setdefault(place, copy.name) != copy.name:
            yield (
                (*path, "name"),
                f"the copy {placed[place]!r} is the same repository; give both the same name, or this one another "
                "`repository` (folder)",
            )


def _taken(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[tuple[Any, str]]:
    """Places of repositories that are not this configuration's copies, and whose they are."""
    for other in (*objects.configurations(), configuration):
        whose = "this configuration" if other.name == configuration.name else f"BackupConfiguration {other.name!r}"
        yield _place(objects, other.spec.storage.name, other.repository_name), whose
        for _, _, copy in copies_of(other) if other.name != configuration.name else ():
            place = _place(objects, copy.storage.name, copy.repository or other.repository_name)
            yield place, f"the copy {copy.name!r} of {whose}"


def _place(objects: ObjectSet, storage: str, repository: str) -> Any:
    """Where a repository is, so that two names of one place are equal; None for an unknown storage."""
    found = objects.storages.get(storage)
    if found is None:
        return None
    fields = found.spec.model_dump(exclude=_HOW)
    fields["prefix"] = "/".join(part for part in (found.spec.prefix.strip("/"), repository.strip("/")) if part)
    return tuple(sorted((name, value) for name, value in fields.items() if value is not None))
