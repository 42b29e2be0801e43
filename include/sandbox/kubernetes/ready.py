"""A cluster that is ready for the product's pods: its manifests applied, its image loaded, Airflow's way to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.kubernetes.cluster import KubernetesCluster

MANIFESTS = Path(__file__).parents[2] / "kustomize"
NAMESPACE, AIRFLOW_ACCOUNT, AGENT_ACCOUNT = "mongo-backup", "airflow", "mongo-backup-agent"
"""As the manifests name them."""
CONNECTION = "kubernetes_sandbox"
EXECUTION = {
    "runner": "kubernetes",
    "namespace": NAMESPACE,
    "kubernetes_connection": CONNECTION,
    "service_account": AGENT_ACCOUNT,
    "start_timeout": "60s",
    "termination_grace": "30s",
}
"""`execution` of a configuration whose steps run in it."""


@contextmanager
def ready_cluster() -> Iterator[KubernetesCluster]:
    """Start a node with the agent image and the namespace that the manifests make; the end of `with` ends it."""
    with KubernetesCluster() as cluster:
        cluster.apply(MANIFESTS)
        cluster.load_agent_image()
        yield cluster


def airflow_settings(cluster: KubernetesCluster) -> dict[str, str]:
    """Airflow's environment: a Connection with the rights of the manifests' role and no others."""
    return connection(cluster.account_kubeconfig(AIRFLOW_ACCOUNT, namespace=NAMESPACE))


def connection(kubeconfig: Path) -> dict[str, str]:
    """The Airflow Connection to the cluster, as an environment variable."""
    value = json.dumps({"conn_type": "kubernetes", "extra": {"kube_config_path": str(kubeconfig)}})
    return {f"AIRFLOW_CONN_{CONNECTION.upper()}": value}
