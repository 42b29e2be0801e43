"""What a configuration needs beyond its own fields: the objects that it names, and settings that fit together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from mongo_backup.objects.addon import Engine
from mongo_backup.objects.advice import similar
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.configuration import BackupConfiguration, Consistency
from mongo_backup.objects.copy_references import impossible_copies, secrets_of_copies, wanted_by_copies
from mongo_backup.objects.hooks import Hooks
from mongo_backup.objects.problems import Path

if TYPE_CHECKING:
    from mongo_backup.objects.object_set import ObjectSet

Problem = tuple[Path, str]


def problems_of(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[Problem]:
    """Give each thing that is missing or does not fit, as the field's path and a sentence."""
    yield from _missing_objects(configuration, objects)
    yield from _unreadable_secrets(configuration, objects)
    yield from _unknown_timezones(configuration)
    yield from _impossible_reads(configuration, objects)
    yield from _impossible_verification(configuration)
    yield from _shared_repository(configuration, objects)
    yield from impossible_copies(configuration, objects)


def _missing_objects(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[Problem]:
    spec = configuration.spec
    wanted: list[tuple[Path, str, str]] = [
        (("spec", "target", "name"), "AppBinding", spec.target.name),
        (("spec", "storage", "name"), "BackupStorage", spec.storage.name),
    ]
    if spec.addon:
        wanted.append((("spec", "addon", "name"), "Addon", spec.addon.name))
    for index, session in enumerate(spec.sessions):
        if session.retention_policy:
            path: Path = ("spec", "sessions", index, "retention_policy", "name")
            wanted.append((path, "RetentionPolicy", session.retention_policy.name))
    wanted += wanted_by_copies(configuration)
    there = {
        "AppBinding": objects.app_bindings,
        "BackupStorage": objects.storages,
        "Addon": objects.addons,
        "RetentionPolicy": objects.retention_policies,
    }
    for path, kind, name in wanted:
        if name not in there[kind]:
            yield path, objects.why_missing(kind, name)


def _unreadable_secrets(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[Problem]:
    """A Kubernetes Secret is read by pods alone."""
    spec = configuration.spec
    if spec.execution.runner == "local":
        where, way = "`spec.execution.runner` is local", "`runner: kubernetes` here"
    elif spec.execution.control_steps == "worker":
        where, way = "`spec.execution.control_steps` is worker", "`control_steps: pod` here"
    else:
        return
    binding, storage = objects.app_bindings.get(spec.target.name), objects.storages.get(spec.storage.name)
    references: list[tuple[Path, str, CredentialsReference | None]] = [
        (("spec", "encryption"), "this", spec.encryption),
        (("spec", "target"), "the AppBinding's `credentials`", binding.spec.credentials if binding else None),
        (
            ("spec", "target"),
            "the AppBinding's `restore_credentials`",
            binding.spec.restore_credentials if binding else None,
        ),
        (("spec", "storage"), "the BackupStorage's `credentials`", storage.spec.credentials if storage else None),
    ]
    references += secrets_of_copies(configuration, objects)
    hooks: list[tuple[Path, Hooks]] = [(("spec", "restore", "hooks"), spec.restore.hooks)]
    hooks += [(("spec", "sessions", index, "hooks"), session.hooks) for index, session in enumerate(spec.sessions)]
    references += [
        (path, f"hook {hook.name!r}", reference)
        for path, each in hooks
        for hook in (*each.before, *each.after)
        for reference in hook.references()
    ]
    for path, whose, reference in references:
        if reference is not None and reference.secret is not None:
            yield (
                path,
                f"{whose} names a Kubernetes Secret, which only pods read, but {where}; "
                f"write `connection: <id of an Airflow Connection>` there, or {way}",
            )


def _impossible_verification(configuration: BackupConfiguration) -> Iterator[Problem]:
    """A session that is not there, or a container where there are no pods."""
    settings, names = configuration.spec.verification, [session.name for session in configuration.spec.sessions]
    if settings is None:
        return
    if settings.session is not None and settings.session not in names:
        yield (
            ("spec", "verification", "session"),
            f"there is no session {settings.session!r}; write one of: {', '.join(names)}, or remove the field",
        )
    if settings.image is not None and configuration.spec.execution.runner == "local":
        yield (
            ("spec", "verification", "image"),
            "an image needs pods, and `spec.execution.runner` is local; remove it and install mongod on the worker "
            "(`mongod: <path>` if it is not on PATH)",
        )


def _unknown_timezones(configuration: BackupConfiguration) -> Iterator[Problem]:
    spec = configuration.spec
    zones: list[tuple[Path, str]] = [
        *((("spec", "sessions", index, "timezone"), each.timezone) for index, each in enumerate(spec.sessions)),
        (("spec", "maintenance", "timezone"), spec.maintenance.timezone),
    ]
    if spec.verification is not None:
        zones.append((("spec", "verification", "timezone"), spec.verification.timezone))
    for path, zone in zones:
        if not _is_timezone(zone):
            meant = similar(zone, available_timezones())
            hint = f" (did you mean {meant}?)" if meant else ""
            yield (
                path,
                f"{zone!r} is no time zone; write a name such as UTC or Europe/Berlin{hint}",
            )


@cache
def _is_timezone(name: str) -> bool:
    """Whether the machine knows the zone; a machine without any zones cannot judge."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return not available_timezones()
    return True


def _impossible_reads(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[Problem]:
    """Without a lock mongodump is not consistent: it cannot read at a cluster time."""
    spec = configuration.spec
    binding = objects.app_bindings.get(spec.target.name)
    addon = objects.addons.get(spec.addon.name if spec.addon else "mongodb")
    if binding is None or addon is None or binding.spec.topology is TopologyKind.STANDALONE:
        return
    for index, session in enumerate(spec.sessions):
        engine: Engine = session.engine or addon.spec.function("backup").engine
        if engine == "mongodump" and session.consistency is Consistency.SNAPSHOT:
            yield (
                ("spec", "sessions", index, "consistency"),
                "the engine mongodump cannot read at a snapshot; write `consistency: locked` or `engine: native`",
            )


def _shared_repository(configuration: BackupConfiguration, objects: ObjectSet) -> Iterator[Problem]:
    """Each configuration has a repository of its own: retention of one would remove sets of the other."""
    if configuration.spec.repository is None:
        return
    for other in objects.configurations():
        if (
            other.name != configuration.name
            and other.spec.storage == configuration.spec.storage
            and other.repository_name == configuration.repository_name
        ):
            yield (
                ("spec", "repository"),
                f"BackupConfiguration {other.name!r} uses {configuration.repository_name!r} in the same storage; "
                "write another name, or remove the field to use the configuration's own name",
            )
