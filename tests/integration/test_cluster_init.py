"""The script that makes docker-compose.yaml's servers a cluster, on real servers: the roles it grants are enough.

No mongos exists for tests: its last step (`addShard`) is left out by not naming one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mongo_backup.topology import privileges
from mongo_backup.topology.roles import BACKUP_ROLE, RESTORE_ROLE
from sandbox.cluster import ShardedCluster

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parents[2] / "include" / "image" / "cluster_init.py"
PASSWORDS = {
    "MONGO_ADMIN_PASSWORD": "admin p@ss:w/ %?#&'\"",
    "MONGO_BACKUP_PASSWORD": "backup p@ss:w/ %?#&'\"",
    "MONGO_RESTORE_PASSWORD": "restore p@ss:w/ %?#&'\"",
}


def run_script(cluster: ShardedCluster) -> subprocess.CompletedProcess[str]:
    key_file = cluster.options.key_file
    assert key_file is not None
    environment = {
        **os.environ,
        **PASSWORDS,
        "KEY_FILE": str(key_file),
        "CONFIG": ",".join(cluster.components["config"].hosts),
        "SHARDS": f"shard0={','.join(cluster.components['shard0'].hosts)}",
    }
    command = [sys.executable, str(SCRIPT)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_makes_replica_sets_and_users_and_may_run_again() -> None:
    cluster = ShardedCluster(shards=1, members=3, config_members=1)
    try:
        for component in cluster.components.values():
            component.launch()
        for _ in range(2):
            result = run_script(cluster)
            assert result.returncode == 0, result.stderr
            assert result.stderr.endswith("the cluster is ready\n")
            assert not any(password in result.stderr for password in PASSWORDS.values())
        for name, component in cluster.components.items():
            backup: MongoClient[dict[str, Any]] = MongoClient(
                list(component.hosts),
                replicaSet=name,
                username="mongo-backup",
                password=PASSWORDS["MONGO_BACKUP_PASSWORD"],
            )
            with backup:
                wanted = (*privileges.COMMON, *privileges.REPLICATED, *privileges.LOCKING, *privileges.JOURNALING)
                routing = (*privileges.BALANCING, *privileges.BALANCING_ROUTED) if name == "config" else ()
                assert privileges.missing(backup, name, [*wanted, *routing]) == []
                assert privileges.missing(backup, name, [(privileges.ANY_COLLECTION, ("insert",))])
                assert len(backup.admin.command("replSetGetStatus")["members"]) == len(component.hosts)
                users = backup.admin["system.users"].find()
                assert {user["user"]: user["roles"][0]["role"] for user in users} == {
                    "admin": "root",
                    "mongo-backup": BACKUP_ROLE["createRole"],
                    "mongo-restore": RESTORE_ROLE["createRole"],
                }
    finally:
        cluster.close()
