"""The users that every component gets when authentication is on, and what each may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pymongo.database import Database

JOURNAL = "mongo_backup_journal"

ANYTHING_ROLE = "sandboxAnything"
ANYTHING_PRIVILEGES: list[dict[str, Any]] = [{"resource": {"anyResource": True}, "actions": ["anyAction"]}]

BACKUP_ROLE = "mongoBackup"
BACKUP_ROLE_PRIVILEGES: list[dict[str, Any]] = [
    {
        "resource": {"cluster": True},
        "actions": [
            "internal",  # _configsvrBalancer*: only where there is no mongos
            "fsync",
            "unlock",
            "appendOplogNote",
            "setParameter",
            "getParameter",
            "replSetGetConfig",
            "replSetGetStatus",
            "inprog",
            "listDatabases",
        ],
    },
    {
        "resource": {"db": "admin", "collection": JOURNAL},
        "actions": [
            "find",
            "insert",
            "update",
            "remove",
            "createCollection",
            "createIndex",
            "listIndexes",
            "collStats",
            "dropCollection",
        ],
    },
]
"""What a whole backup needs, beside the built-in role `backup`."""


@dataclass(frozen=True)
class User:
    """A MongoDB user of database `admin`."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Credentials:
    """The users of a sandbox deployment. Passwords hold every character that breaks careless quoting."""

    admin: User = User("sandbox-admin", "admin p@ss:w/ %?#&'\"")
    backup: User = User("mongo-backup", "backup p@ss:w/ %?#&'\"")
    restore: User = User("mongo-restore", "restore p@ss:w/ %?#&'\"")

    def user(self, name: str) -> User:
        """Return the user for "admin", "backup" or "restore"."""
        return {"admin": self.admin, "backup": self.backup, "restore": self.restore}[name]


def create_users(admin: Database[dict[str, Any]], credentials: Credentials) -> None:
    """Create roles and users in `admin` of one component's primary."""
    admin.command("createRole", ANYTHING_ROLE, privileges=ANYTHING_PRIVILEGES, roles=[])
    admin.command("createRole", BACKUP_ROLE, privileges=BACKUP_ROLE_PRIVILEGES, roles=["backup"])
    for user, roles in (
        (credentials.admin, ["root", ANYTHING_ROLE]),
        (credentials.backup, [BACKUP_ROLE]),
        (credentials.restore, [ANYTHING_ROLE]),
    ):
        admin.command("createUser", user.username, pwd=user.password, roles=roles)
