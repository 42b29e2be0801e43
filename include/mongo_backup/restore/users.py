"""Users and roles of a set, written with their credentials, so that everybody logs in with the password of then.

The documents of `admin.system.users` and `admin.system.roles` are written directly, as the server's own command for
mongorestore does (`_mergeAuthzCollections`); an observer in the server drops what it cached of them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, InsertOne, ReplaceOne
from pymongo.collection import Collection

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.restore.concerns import MAJORITY_CONCERN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Protected:
    """Accounts that must not change: their `_id` in the server's collections, `database.name`."""

    users: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()

    def __or__(self, other: Protected) -> Protected:
        """Both."""
        return Protected(self.users | other.users, self.roles | other.roles)


def account_in_use(client: Client, host: str) -> Protected:
    """Return the user that is logged in and the roles it holds, directly or through others."""
    with mongo_errors("asking who is logged in", host):
        info = client.admin.command("connectionStatus")["authInfo"]
    return Protected(
        users=frozenset(f"{user['db']}.{user['user']}" for user in info["authenticatedUsers"]),
        roles=frozenset(_identifier(role) for role in info["authenticatedUserRoles"]),
    )


def account(client: Client, host: str, *, username: str, database: str) -> Protected:
    """Return another user of this product, such as the one that backs up, and its roles; nothing if there is none."""
    with mongo_errors(f"looking up the user {username}", host):
        who = {"user": username, "db": database}
        found = client.admin.command({"usersInfo": who, "showPrivileges": True})["users"]
    return Protected(
        users=frozenset(f"{user['db']}.{user['user']}" for user in found),
        roles=frozenset(_identifier(role) for user in found for role in user["inheritedRoles"]),
    )


def _identifier(role: dict[str, Any]) -> str:
    return f"{role['db']}.{role['role']}"


def restore_accounts(
    *,
    client: Client,
    host: str,
    policy: str,
    users: Sequence[bytes],
    roles: Sequence[bytes],
    protected: Protected,
) -> tuple[int, int]:
    """Write users and roles by the policy: `merge` adds what is missing, `replace` makes the target's equal the set's.

    :returns: how many users and roles were added, changed or removed.
    """
    if policy == "skip":
        return 0, 0
    changed_roles = _write(client, host, "system.roles", roles, policy, protected.roles)
    changed_users = _write(client, host, "system.users", users, policy, protected.users)
    log.info("%s: users (%s): %d users and %d roles written", host, policy, changed_users, changed_roles)
    return changed_users, changed_roles


def _write(
    client: Client, host: str, name: str, documents: Sequence[bytes], policy: str, protected: frozenset[str]
) -> int:
    collection = client.admin.get_collection(name, write_concern=MAJORITY_CONCERN)
    wanted = {raw["_id"]: raw for raw in map(RawBSONDocument, documents)}
    with mongo_errors(f"writing admin.{name}", host):
        present = {document["_id"] for document in collection.find({}, {"_id": 1})}
        statements = [*_statements(wanted, present, policy, protected)]
        return _run(collection, statements)


def _statements(
    wanted: dict[str, RawBSONDocument], present: set[str], policy: str, protected: frozenset[str]
) -> Iterable[InsertOne[Any] | ReplaceOne[Any] | DeleteOne]:
    for name, document in wanted.items():
        if name not in present:
            yield InsertOne(document)
        elif policy == "replace" and name not in protected:
            yield ReplaceOne({"_id": name}, document)
    if policy == "replace":
        for name in sorted(present - wanted.keys() - protected):
            yield DeleteOne({"_id": name})


def _run(collection: Collection[dict[str, Any]], statements: list[InsertOne[Any] | ReplaceOne[Any] | DeleteOne]) -> int:
    if not statements:
        return 0
    result = collection.bulk_write(statements)
    return result.inserted_count + result.modified_count + result.deleted_count
