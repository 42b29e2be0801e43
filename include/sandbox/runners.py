"""The whole sandbox with its steps where a runner runs them: processes of this machine, or pods of a Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sandbox.cluster import ShardedCluster
from sandbox.ports import listening_on
from sandbox.stack import Stack

RUNNERS = ("local", "kubernetes")


@contextmanager
def sharded_stack(runner: str, **arguments: Any) -> Iterator[tuple[Stack, ShardedCluster]]:
    """Start a sharded cluster and all else; the end of `with` ends everything.

    :param runner: one of `RUNNERS`.
    :param arguments: see `Stack`.
    """
    if runner == "local":
        deployment = ShardedCluster()
        with Stack(deployment=deployment, **arguments) as stack:
            yield stack, deployment
        return
    from sandbox.kubernetes.ready import EXECUTION, airflow_settings, ready_cluster  # needs root

    with ready_cluster() as cluster:
        with listening_on(cluster.address):  # where pods reach them
            deployment = ShardedCluster()
            found = Stack(
                deployment=deployment, settings=airflow_settings(cluster), execution=dict(EXECUTION), **arguments
            )
        with found:
            yield found, deployment
