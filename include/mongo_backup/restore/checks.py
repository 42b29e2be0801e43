"""What must be true of a target before anything on it is touched."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.topology.discover import version_number
from mongo_backup.topology.model import Component, Topology

log = logging.getLogger(__name__)

_NEEDED = frozenset({"insert", "update", "remove", "find", "createCollection", "createIndex", "listCollections"})
_NEEDED_TO_DROP = frozenset({"dropCollection", "dropDatabase"})


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


def check_privileges(client: Client, host: str, *, username: str | None, sharded: bool, drop: bool) -> None:
    """See that the user may do all that a restore does.

    :param username: None where nobody logs in.
    :param sharded: UUIDs are kept and the server's internal commands are used: that takes `anyAction`.
    :raises PreconditionError: privileges are missing; the message names them.
    """
    if username is None:
        return
    with mongo_errors("asking for privileges (connectionStatus)", host):
        info = client.admin.command({"connectionStatus": 1, "showPrivileges": True})["authInfo"]
    privileges: list[dict[str, Any]] = info["authenticatedUserPrivileges"]
    if any(each["resource"].get("anyResource") and "anyAction" in each["actions"] for each in privileges):
        return
    if sharded:
        raise PreconditionError(
            f"the user {username} may not restore a sharded cluster ({host}): it takes the action anyAction on any"
            " resource (applyOps keeps UUIDs); see docs/reference/privileges.md for the role, and name the user in the"
            " AppBinding's restore_credentials"
        )
    everywhere = {"db": "", "collection": ""}
    granted = {action for each in privileges if each["resource"] == everywhere for action in each["actions"]}
    needed = _NEEDED | (_NEEDED_TO_DROP if drop else frozenset())
    if missing := sorted(needed - granted):
        raise PreconditionError(
            f"the user {username} lacks {', '.join(missing)} on all databases of {host}: grant it the built-in roles"
            " restore and readWriteAnyDatabase, and name it in the AppBinding's restore_credentials"
        )


def space_warnings(client: Client, host: str, *, size: int) -> Iterator[str]:
    """Yield a warning if the server's file system has less room than the documents' bytes (compression unknown)."""
    with mongo_errors("asking for free space (dbStats)", host):
        stats = client.admin.command({"dbStats": 1})
    if "fsTotalSize" not in stats:
        return
    free = int(stats["fsTotalSize"] - stats["fsUsedSize"])
    if free < size:
        yield f"{host} has {free / 1e9:.1f} GB free, and {size / 1e9:.1f} GB of documents come (before compression)"
