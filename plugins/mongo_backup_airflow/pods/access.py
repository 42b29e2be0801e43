"""The way to a Kubernetes cluster that an Airflow Connection describes."""

from __future__ import annotations

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from kubernetes.client import CoreV1Api

DEFAULT_CONNECTION = "kubernetes_default"
"""Where it is not there: the service account of the pod that Airflow runs in, else the usual kubeconfig."""


class Access:
    """Makes the client, and makes it anew when its credentials ran out.

    :param connection: an Airflow Connection of type `kubernetes`.
    """

    def __init__(self, connection: str | None) -> None:
        self._connection = connection or DEFAULT_CONNECTION
        self._hook: KubernetesHook | None = None

    def core_api(self, renew: bool = False) -> CoreV1Api:
        """Return the client.

        :param renew: read the credentials anew, since the API server refused them.
        """
        if self._hook is None or renew:
            self._hook = KubernetesHook(conn_id=self._connection)
        found: CoreV1Api = self._hook.core_v1_client
        return found
