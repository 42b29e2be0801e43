"""Makes a sharded cluster of docker-compose.yaml's empty servers: replica sets, users, shards. May run again.

The servers know each other by a key file; with its content one logs in as `__system` before there is any user
(https://www.mongodb.com/docs/manual/core/security-internal-authentication/).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mongo_backup.topology.roles import ROLES, grant

Client = MongoClient[dict[str, Any]]

ALREADY_INITIALIZED = 23
PATIENCE_SECONDS = 180


def say(text: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"{text}\n")


def wait_for(act: Callable[[], Any], what: str) -> Any:
    """Try until it returns something true; servers come up in any order.

    :raises SystemExit: it did not within three minutes.
    """
    deadline, reason = time.monotonic() + PATIENCE_SECONDS, "it is not so yet"
    while time.monotonic() < deadline:
        try:
            if result := act():
                return result
        except PyMongoError as error:
            reason = str(error)[:300]
        time.sleep(1)
    sys.exit(f"gave up waiting: {what}: {reason}")


def system_client(host: str, key: str) -> Client:
    """A client to one member, logged in as the cluster itself."""
    return MongoClient(
        host,
        directConnection=True,
        username="__system",
        password=key,
        authSource="local",
        serverSelectionTimeoutMS=2000,
    )


def initiate(name: str, hosts: list[str], key: str, *, config_server: bool) -> str:
    """Make the servers a replica set if they are none yet, and return its primary's address."""
    members = [{"_id": number, "host": host} for number, host in enumerate(hosts)]
    document: dict[str, Any] = {"_id": name, "members": members}
    if config_server:
        document["configsvr"] = True
    first = system_client(hosts[0], key)

    def initiated() -> bool:
        try:
            first.admin.command("replSetInitiate", document)
        except OperationFailure as error:
            if error.code != ALREADY_INITIALIZED:
                raise
        return True

    wait_for(initiated, f"replica set {name} initiated")
    primary = wait_for(lambda: first.admin.command("hello").get("primary"), f"primary of {name}")
    say(f"replica set {name}: {len(hosts)} members, primary {primary}")
    return str(primary)


def make_users(primary: str, key: str, users: Iterable[tuple[str, str, list[str]]]) -> None:
    """Make roles and users on one replica set, or bring them up to date."""
    admin = system_client(primary, key).admin
    wait_for(lambda: admin.command("hello")["isWritablePrimary"], f"{primary} takes writes")
    for role in ROLES:
        grant(admin, role)
    for name, password, roles in users:
        there = admin.command("usersInfo", name)["users"]
        admin.command("updateUser" if there else "createUser", name, pwd=password, roles=roles)
    say(f"users and roles on {primary}")


def add_shards(mongos: str, password: str, shards: dict[str, list[str]]) -> None:
    """Register the shards with the router, as the administrator that the config server has now."""
    router: Client = MongoClient(mongos, username="admin", password=password, serverSelectionTimeoutMS=2000)
    for name, hosts in shards.items():
        address = f"{name}/{','.join(hosts)}"
        wait_for(lambda: router.admin.command("addShard", address, name=name)["ok"], f"shard {name} added")  # noqa: B023
        say(f"shard {name}")


def main() -> None:
    """Build the cluster that the environment describes: CONFIG, SHARDS (`name=host,host;name=...`), MONGOS."""
    key = "".join(Path(os.environ["KEY_FILE"]).read_text().split())
    users = [
        ("admin", os.environ["MONGO_ADMIN_PASSWORD"], ["root"]),
        ("mongo-backup", os.environ["MONGO_BACKUP_PASSWORD"], ["mongoBackup"]),
        ("mongo-restore", os.environ["MONGO_RESTORE_PASSWORD"], ["mongoRestore"]),
    ]
    config = os.environ["CONFIG"].split(",")
    shards = {
        name: hosts.split(",") for name, _, hosts in (part.partition("=") for part in os.environ["SHARDS"].split(";"))
    }
    for name, hosts in {"config": config, **shards}.items():
        make_users(initiate(name, hosts, key, config_server=name == "config"), key, users)
    if mongos := os.environ.get("MONGOS"):
        add_shards(mongos, os.environ["MONGO_ADMIN_PASSWORD"], shards)
    say("the cluster is ready")


if __name__ == "__main__":
    main()
