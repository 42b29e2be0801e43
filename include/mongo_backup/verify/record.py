"""What a verification found, kept in the repository beside its set: a small snapshot with `part=verification`.

Its tag `result` tells the verdict in a listing (`SetCatalog.verified`); the document tells the rest. A set has one:
the newest. It goes with its set.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict

from mongo_backup.errors import MongoBackupError
from mongo_backup.manifest.catalog import VERIFICATION, SetCatalog, SetEntry
from mongo_backup.manifest.store import read_document, write_document
from mongo_backup.model import Model
from mongo_backup.repository.labels import Label
from mongo_backup.repository.restic import Repository
from mongo_backup.verify.checks import CheckResult

log = logging.getLogger(__name__)

VERIFICATION_FILE = "/verification.json"


class VerificationRecord(Model):
    """One verification of one set."""

    model_config = ConfigDict(extra="ignore")

    format_version: int = 1
    set_id: str
    session: str | None = None
    result: Literal["verified", "failed"]
    reason: str | None = None
    """Of a failure: what differs."""
    started: datetime
    finished: datetime
    server_version: str | None = None
    """Of the throw-away server."""
    namespaces: int = 0
    """Namespaces that were restored and read back."""
    documents: int = 0
    bytes: int = 0
    digests: int = 0
    """Namespaces whose digest was compared: those that were read back, and the routing and accounts in the archives."""
    indexes: int = 0
    """Indexes that were built."""
    checks: tuple[CheckResult, ...] = ()
    """The user's own checks."""
    owner: str | None = None
    """The DAG run that did it; `command` for a person."""
    core_version: str

    @property
    def verified(self) -> bool:
        """Whether all was as it should be."""
        return self.result == "verified"

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished - self.started).total_seconds()


def write_record(repository: Repository, record: VerificationRecord) -> str:
    """Keep the record, and let go of older ones of the same set; returns the snapshot's id.

    :raises MongoBackupError: it could not be written.
    """
    label = Label(
        set_id=record.set_id,
        component=VERIFICATION,
        part="verification",
        session=record.session,
        result=record.result,
    )
    older = repository.snapshots(tags=(f"set={record.set_id}", f"part={VERIFICATION}"))
    written = write_document(repository, label, VERIFICATION_FILE, record)
    try:
        repository.forget([each.id for each in older])
    except MongoBackupError as error:  # the newest counts: an older one does no harm until its set goes
        log.warning("Older verifications of set %s stay for now: %s", record.set_id, error)
    log.info("Recorded in the repository: set %s is %s (%s)", record.set_id, record.result, written[:8])
    return written


def read_record(repository: Repository, entry: SetEntry) -> VerificationRecord | None:
    """What the newest verification of a set found; None: there was none.

    :raises MongoBackupError: it cannot be read.
    """
    if entry.verification_id is None:
        return None
    return read_document(repository, entry.verification_id, VERIFICATION_FILE, VerificationRecord)


def last_verified(repository: Repository, catalog: SetCatalog, session: str | None = None) -> VerificationRecord | None:
    """The record of the newest set that is verified; for metrics and alerts."""
    entries = [each for each in catalog.complete(session) if each.verified]
    return read_record(repository, entries[-1]) if entries else None
