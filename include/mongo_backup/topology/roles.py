"""The MongoDB roles that backups and restores need, as commands: what preflight checks is what these grant.

A role is created on every replica set of a deployment (each shard, the config server), because backups and restores
log in to each. Sources: MongoDB manual, `createRole`, `updateRole`, "Built-In Roles" (`backup`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from pymongo.database import Database

from mongo_backup.topology import privileges
from mongo_backup.topology.privileges import Resource

Role = dict[str, Any]
"""A `createRole` command."""


def _merged(needs: Iterable[tuple[Resource, Sequence[str]]]) -> list[dict[str, Any]]:
    """One privilege per resource, with all its actions."""
    found: list[tuple[Resource, set[str]]] = []
    for resource, actions in needs:
        entry = next((entry for entry in found if entry[0] == resource), None)
        if entry is None:
            found.append((resource, set(actions)))
        else:
            entry[1].update(actions)
    return [{"resource": dict(resource), "actions": sorted(actions)} for resource, actions in found]


BACKUP_ROLE: Role = {
    "createRole": "mongoBackup",
    "privileges": _merged(
        (
            *privileges.COMMON,
            *privileges.REPLICATED,
            *privileges.LOCKING,
            *privileges.JOURNALING,
            *privileges.BALANCING,
            *privileges.BALANCING_ROUTED,
        )
    ),
    "roles": ["backup"],
}
"""A backup of any topology. `internal` is for the config server's balancer commands, where there is no mongos."""

RESTORE_ROLE: Role = {
    "createRole": "mongoRestore",
    "privileges": [{"resource": dict(privileges.ANY), "actions": ["anyAction"]}],
    "roles": [],
}
"""A restore writes users, routing tables and collections with their UUIDs: MongoDB asks for everything."""

ROLES: tuple[Role, ...] = (BACKUP_ROLE, RESTORE_ROLE)


def grant(admin: Database[dict[str, Any]], role: Role) -> None:
    """Create the role in `admin` of one replica set's primary, or bring it up to date.

    :raises PyMongoError: the server refused.
    """
    name = role["createRole"]
    there = admin.command("rolesInfo", name)["roles"]
    rest = {key: value for key, value in role.items() if key != "createRole"}
    admin.command("updateRole" if there else "createRole", name, **rest)


def shell_text(role: Role, user: str) -> str:
    """The role and a user with it as lines for mongosh; it asks for the password, so that none is written down."""
    name = role["createRole"]
    rest = ",\n".join(f"    {_line(privilege)}" for privilege in role["privileges"])
    return (
        "db.getSiblingDB('admin').createRole({\n"
        f"  role: {json.dumps(name)},\n"
        f"  privileges: [\n{rest}\n  ],\n"
        f"  roles: {json.dumps(role['roles'])}\n"
        "})\n"
        "db.getSiblingDB('admin').createUser({\n"
        f"  user: {json.dumps(user)}, pwd: passwordPrompt(), roles: [{json.dumps(name)}]\n"
        "})\n"
    )


def _line(privilege: dict[str, Any]) -> str:
    return f"{{resource: {json.dumps(privilege['resource'])}, actions: {json.dumps(privilege['actions'])}}}"
