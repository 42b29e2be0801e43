"""`make sandbox`: everything that the demo uses stays up until Ctrl-C."""

from __future__ import annotations

import signal
import threading

from sandbox.airflow import PASSWORD, USER
from sandbox.cluster import ShardedCluster
from sandbox.report import say
from sandbox.seed import seed
from sandbox.stack import BACKUP_DAG, RESTORE_DAG, Stack


def main() -> None:
    """Start, print where everything is, wait for Ctrl-C, end everything."""
    ended = threading.Event()
    cluster = ShardedCluster()
    say("Starting nine mongods, an S3 store, a Pushgateway and Airflow")
    with Stack(deployment=cluster, pushgateway=True) as stack:
        seed(cluster)
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, lambda *_: ended.set())
        say(f"Airflow: {stack.live.url}  user {USER}, password {PASSWORD}")
        say(f"DAGs: {BACKUP_DAG}, {RESTORE_DAG}; objects in {stack.folder}")
        for name in cluster.components:
            say(f"{name}: {', '.join(cluster.hosts(name))}")
        say(f"S3: {stack.store.endpoint}, bucket {stack.store.bucket_name}")
        if stack.pushgateway is not None:
            say(f"Pushgateway: {stack.pushgateway.url}")
        say("Ctrl-C ends everything and leaves nothing behind")
        ended.wait()
        say("Ending")


if __name__ == "__main__":
    main()
