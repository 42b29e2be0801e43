"""The one subclass of KubernetesPodOperator: a pod of the agent with safe defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import CoreV1Api

from mongo_backup_airflow.pods.spec import CONTAINER

if TYPE_CHECKING:
    from airflow.sdk import Context

DEFAULT_CONNECTION = "kubernetes_default"
"""Where it is not there: the service account of the pod that Airflow runs in, else the usual kubeconfig."""


class AgentPod(KubernetesPodOperator):
    """Makes the pod of one agent step within a task.

    Connection, pod mutation hook, pod templates and the labels of the task instance are KubernetesPodOperator's. It is
    followed by `mongo_backup_airflow.pods.follow`, which reads the typed result. Nothing of it is a template field of
    a task, no pod is ever printed, no sidecar is added, and no pod is taken over from an older try: its request may
    be out of date, so it is ended instead.

    :param pod: the pod, from `mongo_backup_airflow.pods.spec`.
    :param name: the pod's name.
    :param connection: an Airflow Connection of type `kubernetes`.
    """

    def __init__(self, *, pod: dict[str, Any], name: str, connection: str | None, **arguments: Any) -> None:
        super().__init__(
            **{
                "task_id": "agent",
                "kubernetes_conn_id": connection or DEFAULT_CONNECTION,
                "pod_template_dict": pod,
                "name": name,
                "random_name_suffix": False,
                "namespace": pod["metadata"].get("namespace"),
                "base_container_name": CONTAINER,
                "automount_service_account_token": False,
                "do_xcom_push": False,
                "log_pod_spec_on_failure": False,
                "log_events_on_startup": False,
                "durable": False,
                "deferrable": False,
                **arguments,
            }
        )

    def request(self, context: Context | None) -> dict[str, Any]:
        """Return the complete pod, as Kubernetes gets it."""
        built = self.build_pod_request_obj(context)
        found: dict[str, Any] = self.api_client().sanitize_for_serialization(built)
        return found

    def core_api(self, renew: bool = False) -> CoreV1Api:
        """Return the client.

        :param renew: read the credentials anew, since the API server refused them.
        """
        if renew:
            self.__dict__.pop("hook", None)
        found: CoreV1Api = self.hook.core_v1_client
        return found

    def api_client(self) -> Any:
        """The client below."""
        return self.core_api().api_client
