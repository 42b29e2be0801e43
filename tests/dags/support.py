"""Objects for the tests of the DAGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sandbox.objects import API, configuration, local_storage, retention_policy

REPOSITORY = Path(__file__).resolve().parents[2]
DAG_FILES = REPOSITORY / "dags"

Objects = dict[str, Any]


def app_binding(name: str, topology: str) -> Objects:
    """An AppBinding of each topology; nobody connects to it."""
    addresses: dict[str, Objects] = {
        "standalone": {"hosts": ["db:27017"]},
        "replica_set": {"replica_set": {"replica_set": "rs", "hosts": ["db:27017"]}},
        "sharded": {
            "config_server": {"replica_set": "cfg", "hosts": ["cfg:27019"]},
            "shards": {"shard0": {"replica_set": "rs0", "hosts": ["rs0:27018"]}},
        },
    }
    spec = {"topology": topology, "credentials": {"connection": "shop-backup"}, **addresses[topology]}
    return {**API, "kind": "AppBinding", "metadata": {"name": name}, "spec": spec}


def basics() -> list[Objects]:
    """A storage, a policy, and an AppBinding for each topology, of its name."""
    bindings = [app_binding(kind.replace("_", "-"), kind) for kind in ("standalone", "replica_set", "sharded")]
    return [local_storage(Path("/backups")), retention_policy(last=3), *bindings]


def shop(target: str = "sharded", **session: Any) -> Objects:
    """A configuration with one session `nightly`."""
    return configuration(name="shop", target=target, session={"name": "nightly", "schedule": "0 2 * * *", **session})
