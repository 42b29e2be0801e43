"""Sets the stage: servers, objects, a live Airflow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.airflow.stage import CONFIGURATION, Stage, slow_database

from sandbox import objects
from sandbox.airflow import Airflow
from sandbox.cluster import ShardedCluster
from sandbox.listener import Listener
from sandbox.mailbox import Mailbox
from sandbox.mongod import mongod_binary
from sandbox.pushgateway import Pushgateway
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.sharding import create_database

SESSIONS = [
    {"name": "main", "retries": 0},
    {"name": "patient", "retries": 1},
    {"name": "hasty", "retries": 0, "backup_timeout": "5s"},
    {"name": "windows", "retries": 0, "consistency": "snapshot"},
]

PROVEN = "proven"
"""A configuration whose backups are verified; one document of its database is one of the three that its check wants."""
UNREADY = "unready"
"""A configuration that names a Connection that is not there."""


@contextmanager
def open_stage(
    folder: Path,
    *,
    replica_set: ReplicaSet,
    standalone: Standalone,
    dags: Path | None = None,
    prepare: Callable[[Airflow], None] = lambda _: None,
) -> Iterator[Stage]:
    """Config server and two shards of three members; in each shard a collection that can be made slow to read.

    Beside it a replica set (configuration `set`) and a standalone (`single`, and those that are named above).

    :param dags: another folder of DAG files.
    :param prepare: changes the Airflow before it is started.
    """
    config, store = folder / "config", folder / "store"
    store.mkdir()
    with (
        ShardedCluster(parameters={"enableTestCommands": 1}) as cluster,
        Listener() as listener,
        Mailbox() as mailbox,
        Pushgateway() as gateway,
    ):
        for shard in cluster.shard_names:
            create_database(cluster, slow_database(shard), primary_shard=shard)
            # Two batches of what does not compress, so that a disturbed dump has read some and not all.
            documents = [{"_id": number, "noise": os.urandom(64 * 1024)} for number in range(320)]
            cluster.client(component=shard)[slow_database(shard)].documents.insert_many(documents)
        cluster.wait_for_replication()
        objects.write_objects(
            config,
            cluster.app_binding(),
            objects.local_storage(store),
            objects.retention_policy(last=3),
            _configuration(),
            replica_set.app_binding("set"),
            standalone.app_binding("single"),
            objects.configuration(name="set", target="set"),
            *_talkative(listener, gateway),
        )
        credentials = objects.credentials(cluster)
        settings = {
            "AIRFLOW_CONN_CHAT": json.dumps({"conn_type": "http", "host": f"{listener.url}/chat"}),
            "AIRFLOW_CONN_MAIL": json.dumps(mailbox.connection),
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
        }
        airflow = Airflow(objects=config, credentials=credentials, settings=settings, dags=dags)
        prepare(airflow)
        with airflow:
            yield Stage(
                cluster=cluster,
                airflow=airflow,
                credentials=credentials,
                objects=config,
                listener=listener,
                mailbox=mailbox,
                pushgateway=gateway,
            )


def _talkative(listener: Listener, gateway: Pushgateway) -> Iterator[dict[str, object]]:
    """Configurations of the standalone that tell of all that happens: hooks, notifications, deadlines, metrics."""
    call = {"http": {"url": f"{listener.url}/hook"}}
    after = [{"name": when, "when": when, **call} for when in ("success", "failure", "always")]
    hooks = {"before": [{"name": "before", **call}], "after": after}
    chat = {"on": ["failure", "success", "late"], "webhook": {"connection": "chat"}}
    mail = {"on": ["failure", "late"], "mail": {"connection": "mail", "to": ["dba@shop.example"]}}

    def told(name: str, session: dict[str, Any], *more: object, **spec: Any) -> dict[str, object]:
        return objects.configuration(
            name=name,
            target="single",
            session={"hooks": hooks, "retries": 0, **session},
            metrics={"pushgateway": gateway.url},
            notifications=[chat, *more],
            **spec,
        )

    clock = {"schedule": "0 2 1 1 *", "deadline": "06:00"}
    check = {"name": "three orders", "namespace": f"{PROVEN}.orders", "count": 3}
    verification = {"after_backups": 2, "mongod": mongod_binary(), "checks": [check]}
    yield told("single", {"schedule": "@yearly", "deadline": "1s"}, restore={"hooks": hooks})
    yield told(UNREADY, clock, mail, encryption={"connection": "nowhere"})
    yield told(PROVEN, {**clock, "include": [f"{PROVEN}.*"]}, verification=verification)


def _configuration() -> dict[str, object]:
    document = objects.configuration(name=CONFIGURATION, restore={"approval": True})
    document["spec"]["sessions"] = [{**each, "retention_policy": {"name": "keep"}} for each in SESSIONS]
    return document
