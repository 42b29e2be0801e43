"""What must be true of a target before anything on it is touched."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.topology.discover import version_number
from mongo_backup.topology.model import Component, Topology
from mongo_backup.topology.privileges import ANY_COLLECTION, CLUSTER, Resource, lacking

log = logging.getLogger(__name__)

Needs = tuple[tuple[Resource, tuple[str, ...]], ...]

_DOCUMENTS = ("find", "insert", "remove", "update")
_COLLECTIONS = ("bypassDocumentValidation", "collMod", "createCollection", "createIndex", "dropCollection")
_NEEDED: Needs = (
    (ANY_COLLECTION, (*_DOCUMENTS, *_COLLECTIONS, "listCollections", "listIndexes")),
    (CLUSTER, ("inprog", "listDatabases", "replSetGetConfig", "replSetGetStatus")),
)
_NEEDED_TO_DROP: Needs = ((ANY_COLLECTION, ("dropDatabase",)),)
_NEEDED_FOR_ACCOUNTS = {"skip": set[str](), "merge": {"find", "insert"}, "replace": set(_DOCUMENTS)}


def check_versions(manifest: Manifest, topology: Topology) -> None:
    """Refuse an older server, and a lower featureCompatibilityVersion.

    :raises PreconditionError: collections of the backup may use what the target does not have.
    """
    if version_number(topology.server_version)[:2] < version_number(manifest.server_version)[:2]:
        raise PreconditionError(
            f"the backup is of MongoDB {manifest.server_version} and the target runs {topology.server_version}: restore"
            " into the same or a newer version"
        )
    if manifest.fcv and topology.fcv and version_number(topology.fcv) < version_number(manifest.fcv):
        raise PreconditionError(
            f"the target's featureCompatibilityVersion is {topology.fcv}, the backup's {manifest.fcv}: raise it first"
            " (setFeatureCompatibilityVersion)"
        )


def check_primary(component: Component) -> str:
    """Return the address of the member that takes writes.

    :raises PreconditionError: there is none.
    """
    if component.primary is None:
        states = ", ".join(f"{member.host} is {member.state}" for member in component.members)
        raise PreconditionError(f"{component.name} has no primary to restore into: {states}")
    return component.primary.host


def check_unlocked(client: Client, host: str) -> None:
    """Refuse a server that is fsyncLocked: the first write would wait for ever.

    :raises PreconditionError: it is.
    """
    with mongo_errors("asking for locks (currentOp)", host):
        if client.admin.command({"currentOp": 1, "active": False, "$all": False}).get("fsyncLock"):
            raise PreconditionError(
                f"{host} is fsyncLocked, by a backup or by hand: unlock it first (db.fsyncUnlock())"
            )


def check_privileges(client: Client, host: str, *, sharded: bool, drop: bool, users: str) -> None:
    """See that the user may do all that a restore does; a server without access control lets everybody.

    :param sharded: UUIDs are kept and the server's internal commands are used: that takes `anyAction`.
    :param drop: databases are dropped.
    :param users: `skip`, `merge` or `replace`.
    :raises PreconditionError: privileges are missing; the message names them.
    """
    granted = _privileges(client, host)
    if granted is None or any(map(_is_anything, granted)):
        return
    if sharded:
        lacks = ["anyAction on any resource (applyOps keeps UUIDs)"]
    else:
        lacks = [*lacking(granted, [*_NEEDED, *(_NEEDED_TO_DROP if drop else ())]), *_lacking_accounts(granted, users)]
    if lacks:
        raise PreconditionError(
            f"the restore user lacks privileges on {host}: {'; '.join(lacks)}. Give it the role that `mongo-backup"
            " roles --restore` prints, and name it in the AppBinding's restore_credentials"
        )


def _privileges(client: Client, host: str) -> list[dict[str, Any]] | None:
    """What the connected user may do; None: the server has no access control."""
    with mongo_errors("asking for privileges (connectionStatus)", host):
        info = client.admin.command({"connectionStatus": 1, "showPrivileges": True})["authInfo"]
    return info["authenticatedUserPrivileges"] if info["authenticatedUsers"] else None


def _is_anything(privilege: Mapping[str, Any]) -> bool:
    return bool(privilege["resource"].get("anyResource")) and "anyAction" in privilege["actions"]


def _lacking_accounts(granted: list[dict[str, Any]], users: str) -> Iterator[str]:
    """A privilege on every collection is none on `system.*`: these must be named."""
    for name in ("system.users", "system.roles"):
        resources = ({"db": "admin", "collection": name}, {"db": "", "collection": name})
        have = {action for each in granted if each["resource"] in resources for action in each["actions"]}
        if lack := sorted(_NEEDED_FOR_ACCOUNTS[users] - have):
            yield f"{', '.join(lack)} on admin.{name} (for users: {users})"


def space_warnings(client: Client, host: str, *, size: int) -> Iterator[str]:
    """Yield a warning if the server's file system has less room than the documents' bytes (compression unknown)."""
    with mongo_errors("asking for free space (dbStats)", host):
        stats = client.admin.command({"dbStats": 1})
    if "fsTotalSize" not in stats:
        return
    free = int(stats["fsTotalSize"] - stats["fsUsedSize"])
    if free < size:
        yield f"{host} has {free / 1e9:.1f} GB free, and {size / 1e9:.1f} GB of documents come (before compression)"
