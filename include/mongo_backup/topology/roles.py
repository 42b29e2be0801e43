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

DIRECT_ROLES = {"mongoBackup": ("directShardOperations",)}
"""What a role inherits besides, where the server knows it: see `privileges.DIRECT`."""
DIRECT_MAJOR = 8
"""The first version that knows it, and refuses who has it not."""

ROLES: tuple[Role, ...] = (BACKUP_ROLE, RESTORE_ROLE)


def grant(admin: Database[dict[str, Any]], role: Role) -> None:
    """Create the role in `admin` of one replica set's primary, or bring it up to date.

    :raises PyMongoError: the server refused.
    """
    name = role["createRole"]
    major = int(admin.command("buildInfo")["version"].partition(".")[0])
    inherited = [*role["roles"], *(DIRECT_ROLES.get(name, ()) if major >= DIRECT_MAJOR else ())]
    there = admin.command("rolesInfo", name)["roles"]
    admin.command("updateRole" if there else "createRole", name, privileges=role["privileges"], roles=inherited)


def shell_text(role: Role, user: str) -> str:
    """The role and a user with it as lines for mongosh; it asks for the password, so that none is written down."""
    name = role["createRole"]
    rest = ",\n".join(f"    {_line(privilege)}" for privilege in role["privileges"])
    return (
        "db.getSiblingDB('admin').createRole({\n"
        f"  role: {json.dumps(name)},\n"
        f"  privileges: [\n{rest}\n  ],\n"
        f"  roles: {_inherited(role)}\n"
        "})\n"
        "db.getSiblingDB('admin').createUser({\n"
        f"  user: {json.dumps(user)}, pwd: passwordPrompt(), roles: [{json.dumps(name)}]\n"
        "})\n"
    )


def _inherited(role: Role) -> str:
    """In mongosh's language: the shell is connected to the very server."""
    always, direct = json.dumps(role["roles"]), DIRECT_ROLES.get(role["createRole"])
    if direct is None:
        return always
    return f"{always}.concat(parseInt(db.version()) >= {DIRECT_MAJOR} ? {json.dumps(direct)} : [])"


def _line(privilege: dict[str, Any]) -> str:
    return f"{{resource: {json.dumps(privilege['resource'])}, actions: {json.dumps(privilege['actions'])}}}"
