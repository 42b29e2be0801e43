"""The objects of a folder: what is good, what is wrong, and what a configuration needs, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.addon import Addon, builtin_addon
from mongo_backup.objects.advice import similar
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.configuration import BackupConfiguration, Session
from mongo_backup.objects.documents import Document
from mongo_backup.objects.kinds import KINDS
from mongo_backup.objects.problems import ObjectError, error_text
from mongo_backup.objects.references import problems_of
from mongo_backup.objects.resolved import CopyObjects, Objects
from mongo_backup.objects.retention import RetentionPolicy
from mongo_backup.objects.storage import BackupStorage

_Kind = TypeVar("_Kind", bound=KubernetesStyleObject)


@dataclass(frozen=True)
class Loaded:
    """An object and the document that it was read from."""

    value: KubernetesStyleObject
    document: Document


class ObjectSet:
    """All objects that were read. A bad one takes away only itself and the configurations that need it.

    :param loaded: objects that are right in themselves.
    :param errors: what was wrong with the others.
    """

    def __init__(self, *, loaded: Iterable[Loaded], errors: Iterable[ObjectError] = ()) -> None:
        self._errors: list[ObjectError] = list(errors)
        self._loaded: dict[str, dict[str, Loaded]] = {kind: {} for kind in KINDS}
        for one in sorted(loaded, key=lambda one: one.value.name):
            self._loaded[type(one.value).__name__][one.value.name] = one
        self._objects = {kind: {name: one.value for name, one in ones.items()} for kind, ones in self._loaded.items()}
        self._addons = {"mongodb": builtin_addon(), **self.of_kind(Addon)}
        for configuration in self.configurations():
            self._check(configuration)

    def _check(self, configuration: BackupConfiguration) -> None:
        """Take a configuration away that cannot work."""
        one = self._loaded["BackupConfiguration"][configuration.name]
        problems = [self._error(one, path, message) for path, message in problems_of(configuration, self)]
        if problems:
            self._errors += problems
            del self._objects["BackupConfiguration"][configuration.name]

    @property
    def errors(self) -> dict[str, tuple[ObjectError, ...]]:
        """What is wrong, by file."""
        files = sorted({error.file for error in self._errors})
        return {
            file: tuple(sorted((e for e in self._errors if e.file == file), key=lambda e: (e.line or 0, e.field)))
            for file in files
        }

    def error_text(self) -> str:
        """All errors for people; empty if there are none."""
        return error_text(self._errors)

    @property
    def app_bindings(self) -> Mapping[str, AppBinding]:
        """AppBindings by name."""
        return self.of_kind(AppBinding)

    @property
    def storages(self) -> Mapping[str, BackupStorage]:
        """BackupStorages by name."""
        return self.of_kind(BackupStorage)

    @property
    def addons(self) -> Mapping[str, Addon]:
        """Addons by name, with the built-in `mongodb` unless a file has one of that name."""
        return self._addons

    @property
    def retention_policies(self) -> Mapping[str, RetentionPolicy]:
        """RetentionPolicies by name."""
        return self.of_kind(RetentionPolicy)

    def of_kind(self, kind: type[_Kind]) -> Mapping[str, _Kind]:
        """Good objects of a kind by name."""
        return cast(Mapping[str, _Kind], self._objects[kind.__name__])

    def configurations(self) -> tuple[BackupConfiguration, ...]:
        """Configurations that are right and have all they need, by name."""
        return tuple(self.of_kind(BackupConfiguration).values())

    def configuration(self, name: str) -> BackupConfiguration:
        """The configuration of that name.

        :raises ConfigurationError: there is none, or it has errors (they are in the message).
        """
        found = self.of_kind(BackupConfiguration)
        if name in found:
            return found[name]
        errors = [error for error in self._errors if (error.kind, error.name) == ("BackupConfiguration", name)]
        if errors:
            raise ConfigurationError("\n".join(map(str, errors)))
        raise ConfigurationError(f"there is no BackupConfiguration {name!r}; {exists(found, name)}{self._unread()}")

    def resolve(self, name: str, session: str | None = None) -> Objects:
        """Everything that a configuration stands on.

        :param session: whose retention policy is meant; None leaves retention out.
        :raises ConfigurationError: there is no such configuration or session, or it has errors.
        """
        configuration = self.configuration(name)
        spec = configuration.spec
        retention = self._session(configuration, session).retention_policy if session is not None else None
        return Objects(
            configuration=configuration,
            target=self.app_bindings[spec.target.name],
            storage=self.storages[spec.storage.name],
            addon=self.addons[spec.addon.name if spec.addon else "mongodb"],
            retention=self.retention_policies[retention.name] if retention else None,
            copies=self._copies(configuration, session),
        )

    def _copies(self, configuration: BackupConfiguration, session: str | None) -> tuple[CopyObjects, ...]:
        """Those of a session; without one those of all, whose policies differ and are left out."""
        found: dict[str, CopyObjects] = {}
        for each in configuration.spec.sessions:
            for copy in each.copies if session in (None, each.name) else ():
                policy = copy.retention_policy if session is not None else None
                found[copy.name] = CopyObjects(
                    settings=copy,
                    storage=self.storages[copy.storage.name],
                    retention=self.retention_policies[policy.name] if policy else None,
                )
        return tuple(found.values())

    def file_of(self, kind: str, name: str) -> str:
        """The file that an object was read from.

        :raises KeyError: there is no such object among the good ones.
        """
        return self._loaded[kind][name].document.file

    def why_missing(self, kind: str, name: str) -> str:
        """Why an object that something refers to is not there, and what to do."""
        bad = next((error for error in self._errors if (error.kind, error.name) == (kind, name)), None)
        if bad is not None:
            where = f"{bad.file}:{bad.line}" if bad.line else bad.file
            return f"{kind} {name!r} has errors itself; put {where} right first"
        known = self._addons if kind == "Addon" else self._objects[kind]
        return f"there is no {kind} {name!r}; {exists(known, name)}{self._unread()}"

    def _unread(self) -> str:
        files = sorted({error.file for error in self._errors if error.name is None})
        return f" (not all could be read: see the errors of {', '.join(files)})" if files else ""

    @staticmethod
    def _session(configuration: BackupConfiguration, name: str) -> Session:
        try:
            return configuration.session(name)
        except (KeyError, StopIteration):
            names = [session.name for session in configuration.spec.sessions]
            raise ConfigurationError(
                f"BackupConfiguration {configuration.name!r} has no session {name!r}; {exists(names, name)}"
            ) from None

    @staticmethod
    def _error(one: Loaded, path: tuple[Any, ...], message: str) -> ObjectError:
        return ObjectError(
            file=one.document.file,
            line=one.document.line_of(path),
            path=path,
            message=message,
            kind=type(one.value).__name__,
            name=one.value.name,
        )


def exists(names: Iterable[str], wanted: str) -> str:
    """`these exist: a, b (did you mean a?)`."""
    known = sorted(names)
    if not known:
        return "none exists yet: write one"
    meant = similar(wanted, known)
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"these exist: {shown}" + (f" (did you mean {meant}?)" if meant else "")
