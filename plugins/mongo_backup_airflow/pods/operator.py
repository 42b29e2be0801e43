"""The one subclass of KubernetesPodOperator: a pod of the agent with safe defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import ApiClient

from mongo_backup_airflow.pods.access import DEFAULT_CONNECTION
from mongo_backup_airflow.pods.spec import CONTAINER

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        found: dict[str, Any] = ApiClient().sanitize_for_serialization(built)
        return found
