"""Restores all components of a set into a throw-away server and compares each with the manifest.

One component after the other goes into the same server, which is emptied between them, so that memory and disk stay
small. The user's checks ask for whole collections: for them the shards of a cluster are laid together, and compared as
one: counts and digests add up (`mongo_backup.digest`). What is not restored (routing, users and roles) is compared as
it stands in the archives.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from mongo_backup.archive.reader import Block, Source, read_archive
from mongo_backup.digest import DocumentDigest
from mongo_backup.errors import PreconditionError, VerificationError
from mongo_backup.manifest.model import ComponentRecord, Manifest, NamespaceRecord
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup.restore.component import ComponentTarget, read_specs, restore_archive
from mongo_backup.restore.indexes import begin_expiry, build_indexes
from mongo_backup.restore.rules import RestoreRules
from mongo_backup.topology.discover import version_number
from mongo_backup.topology.model import ComponentRole
from mongo_backup.verify.checks import CheckResult, run_check
from mongo_backup.verify.compare import Comparison, Subject, compare_catalog, compare_documents
from mongo_backup.verify.throwaway import NAME, Throwaway

log = logging.getLogger(__name__)

_RULES = RestoreRules()
_DIGEST_MODULUS = 1 << 128


class Archive(Source, Protocol):
    """A component's archive as a stream that can be given up."""

    def abort(self) -> None:
        """End it here."""
        ...


class OpenArchive(Protocol):
    """Opens a component's archive."""

    def __call__(self, record: ComponentRecord, /) -> AbstractContextManager[Archive]:
        """The archive as a context manager."""
        ...


@dataclass
class Findings:
    """What was done and found so far; filled also where it fails halfway."""

    comparison: Comparison = field(default_factory=Comparison)
    indexes: int = 0
    checks: list[CheckResult] = field(default_factory=list)

    def judge(self) -> None:
        """Raise unless everything is as it should be.

        :raises VerificationError: what differs, and the checks that failed.
        """
        for check in self.checks:
            level, how = (logging.INFO, "as expected") if check.ok else (logging.ERROR, "FAILED")
            log.log(level, "Check %r: %s, %s", check.name, how, check.words)
        self.comparison.judge()
        if wrong := [f"{check.name} ({check.words})" for check in self.checks if not check.ok]:
            raise VerificationError(f"{len(wrong)} of {len(self.checks)} checks failed: {'; '.join(wrong)}")


@dataclass(frozen=True, kw_only=True)
class SetVerifier:
    """One set and the server that it is restored into.

    :param open_archive: opens a component's archive.
    :param threads: inserts and reads side by side.
    """

    manifest: Manifest
    server: Throwaway
    settings: VerificationSettings
    open_archive: OpenArchive
    threads: int = 4
    findings: Findings = field(default_factory=Findings)

    def run(self) -> Findings:
        """Restore, compare, ask.

        :raises PreconditionError: the server is too old, or there is no room.
        :raises VerificationError: something differs, or a check failed.
        :raises PermanentError: an archive is damaged, or the server refuses what is in it.
        """
        self._check_version()
        together = self._together
        data = [each for each in self.manifest.components if each.role is not ComponentRole.CONFIG]
        sizes = [sum(record.bytes for record in each.namespaces) for each in data]
        self.server.check_room(sum(sizes) if together else max(sizes, default=0), self.settings)
        for component in self.manifest.components:
            if component.role is ComponentRole.CONFIG:
                self._read_only(component)
            else:
                self._restore(component, merge=together)
                if not together:
                    self._compare(component.name, component.namespaces)
                    self._ask()
                    self.server.clear()
        if together:
            self._compare("all shards", added_up(data))
            self._ask()
            self.server.clear()
        self.findings.judge()
        return self.findings

    @property
    def _together(self) -> bool:
        return bool(self.settings.checks) and self.manifest.topology is TopologyKind.SHARDED

    def _check_version(self) -> None:
        if version_number(self.server.version)[:2] < version_number(self.manifest.server_version)[:2]:
            raise PreconditionError(
                f"{NAME} is MongoDB {self.server.version} and the set is of {self.manifest.server_version}: name a "
                "mongod (or image) of the same version in the configuration's `verification`"
            )

    def _target(self, component: ComponentRecord, *, merge: bool) -> ComponentTarget:
        return ComponentTarget(
            client=self.server.client,
            name=component.name,
            host=NAME,
            rules=_RULES,
            keep_uuids=False,
            records=component.namespaces,
            merge=merge,
            own_leftovers=False,
            threads=self.threads,
        )

    def _restore(self, component: ComponentRecord, *, merge: bool) -> None:
        log.info("%s: restoring %d documents", component.name, component.documents)
        with self.open_archive(component) as stream:
            restored = restore_archive(stream, self._target(component, merge=merge))
        with self.open_archive(component) as stream:
            specs = read_specs(stream, rules=_RULES, records=component.namespaces)
            stream.abort()
        client = self.server.client
        self.findings.indexes += build_indexes(client=client, host=NAME, specs=specs).indexes
        self.findings.indexes += begin_expiry(client=client, host=NAME, specs=specs).indexes
        accounts = {"system.users": restored.users, "system.roles": restored.roles}
        for name, documents in accounts.items():
            digest = DocumentDigest()
            digest.add(documents)
            self._compare_archived(component, {("admin", name): digest})

    def _read_only(self, component: ComponentRecord) -> None:
        """What is never restored into a server that is no config server: all of the archive is read and compared."""
        digests: dict[tuple[str, str], DocumentDigest] = {}
        with self.open_archive(component) as stream:
            for event in read_archive(stream):
                if isinstance(event, Block):
                    digests.setdefault((event.db, event.collection), DocumentDigest()).add(event.documents)
        empty = {(record.db, record.collection): DocumentDigest() for record in component.namespaces}
        self._compare_archived(component, {**empty, **digests})
        log.info("%s: %d namespaces of its archive read and compared", component.name, len(empty))

    def _compare_archived(self, component: ComponentRecord, digests: dict[tuple[str, str], DocumentDigest]) -> None:
        comparison = self.findings.comparison
        for record in component.namespaces:
            digest = digests.get((record.db, record.collection))
            if digest is None or record.type != "collection":
                continue
            comparison.digests += 1
            if (digest.documents, digest.hexdigest()) != (record.documents, record.digest):
                comparison.differences.append(
                    f"{component.name} {record.namespace}: {digest.documents} documents with digest "
                    f"{digest.hexdigest()} in the archive instead of {record.documents} with {record.digest}"
                )

    def _compare(self, name: str, records: tuple[NamespaceRecord, ...]) -> None:
        subject = Subject(name=name, client=self.server.client, host=NAME, records=records, rules=_RULES)
        found, total = compare_documents([subject], threads=self.threads), self.findings.comparison
        same_version = version_number(self.server.version)[:2] == version_number(self.manifest.server_version)[:2]
        found.differences += compare_catalog(subject, same_version=same_version)
        total.namespaces += found.namespaces
        total.documents += found.documents
        total.bytes += found.bytes
        total.digests += found.digests
        total.differences += found.differences
        log.info(
            "%s: %d namespaces, %d documents, %.1f MB read back, %d differences",
            *(name, found.namespaces, found.documents, found.bytes / 1e6, len(found.differences)),
        )

    def _ask(self) -> None:
        for check in self.settings.checks:
            self.findings.checks.append(run_check(self.server.client, check, host=NAME))


def added_up(components: Iterable[ComponentRecord]) -> tuple[NamespaceRecord, ...]:
    """The namespaces of several shards as if they were one: documents, bytes and digests are sums, indexes a union."""
    found: dict[str, NamespaceRecord] = {}
    for record in (record for component in components for record in component.namespaces):
        if (other := found.get(record.namespace)) is None:
            found[record.namespace] = record
            continue
        digest = (int(other.digest, 16) + int(record.digest, 16)) % _DIGEST_MODULUS
        indexes = {index["name"]: index for index in (*record.indexes, *other.indexes)}
        found[record.namespace] = other.model_copy(
            update={
                "documents": other.documents + record.documents,
                "bytes": other.bytes + record.bytes,
                "digest": f"{digest:032x}",
                "indexes": tuple(indexes.values()),
            }
        )
    return tuple(found.values())
