"""The runner `kubernetes`: one step as one pod.

Request and credentials go in by a Secret that is the pod's property (its owner reference), so it goes with the pod,
also when this worker dies. The result comes out as the container's termination message. Every way in which a pod can
fail becomes one of the product's errors, which say whether another try makes sense.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from airflow.providers.cncf.kubernetes.kubernetes_helper_functions import add_unique_suffix
from airflow.sdk.exceptions import TaskDeferred

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import ConfigurationError, InterruptedByRequestError, MongoBackupError
from mongo_backup.objects.addon import Function
from mongo_backup.objects.configuration import Execution
from mongo_backup_airflow.pods.access import Access
from mongo_backup_airflow.pods.api import PodApi
from mongo_backup_airflow.pods.follow import PodFollower
from mongo_backup_airflow.pods.leftovers import end_older_pods
from mongo_backup_airflow.pods.operator import AgentPod
from mongo_backup_airflow.pods.reasons import failed, how_it_ended
from mongo_backup_airflow.pods.spec import agent_pod, own_labels, pod_name, run_secret_data
from mongo_backup_airflow.pods.trigger import AgentPodTrigger, Deferred, PodEnded
from mongo_backup_airflow.runners.base import StepCall

if TYPE_CHECKING:
    from airflow.sdk import Context

logger = logging.getLogger(__name__)

OLDER_POD_SECONDS = 60.0
"""What an older try's pod has beyond its grace period until it must be gone."""


class KubernetesRunner:
    """Runs one step in a pod.

    :param execution: namespace, connection, time limits.
    :param function: image, resources, place, of the step.
    :param deferred: leave the pod to the triggerer as soon as it is made. The task that calls `run` is deferred, and
        its method `resume` is called with the event.
    """

    def __init__(self, *, execution: Execution, function: Function, deferred: bool = False) -> None:
        self._execution = execution
        self._function = function
        self._deferred = deferred
        self._access = Access(execution.kubernetes_connection)
        self._api: PodApi | None = None
        self._name: str | None = None
        self._stopped = False

    def run(self, call: StepCall) -> Envelope:
        """Run the step. See `Runner`.

        :raises MongoBackupError: Kubernetes does not let it, or cannot be reached.
        :raises InterruptedByRequestError: `stop` was called before the pod was made.
        :raises TaskDeferred: the pod runs, and the triggerer watches it.
        """
        name = add_unique_suffix(name=pod_name(call))
        api, pod = self._open(call, name)
        end_older_pods(api, call, patience=self._patience)
        if self._stopped:
            raise InterruptedByRequestError(f"{call.step} was stopped before its pod was made")
        if self._deferred:
            return self._defer(api, call, pod, name)
        return self._run_pod(api, call, pod, name)

    def end_leftovers(self, call: StepCall) -> None:
        """End what may not run beside a step that has no pod itself. An API server that is away is not waited for.

        :raises MongoBackupError: Kubernetes does not let it, or cannot be reached.
        """
        api, _ = self._open(call, pod_name(call))
        api.ended = True
        end_older_pods(api, call, patience=self._patience)

    def _open(self, call: StepCall, name: str) -> tuple[PodApi, dict[str, Any]]:
        """The step's pod, and the way to the namespace that it belongs to."""
        body = agent_pod(
            call,
            execution=self._execution,
            function=self._function,
            run_secret=name,
            namespace=self._execution.namespace,
        )
        pod = _request(AgentPod(pod=body, name=name, connection=self._execution.kubernetes_connection))
        self._api = PodApi(self._access.core_api, namespace=pod["metadata"]["namespace"])
        return self._api, pod

    @property
    def _patience(self) -> float:
        return self._execution.termination_grace.total_seconds() + OLDER_POD_SECONDS

    def _defer(self, api: PodApi, call: StepCall, pod: dict[str, Any], name: str) -> Envelope:
        try:
            secret = self._make(api, call, pod, name)
        except MongoBackupError as error:
            _clean_up(api, name, secret=True)
            return failed(call.step, error)
        if self._stopped:
            _clean_up(api, name, secret=secret)
            raise InterruptedByRequestError(f"{call.step} was stopped when its pod was made")
        deferred = Deferred(
            step=call.step,
            pod=name,
            namespace=api.namespace,
            secret=secret,
            connection=self._execution.kubernetes_connection,
            start_seconds=self._execution.start_timeout.total_seconds(),
            until=time.time() + call.limit.total_seconds() if call.limit else None,
        )
        raise TaskDeferred(trigger=AgentPodTrigger(deferred.model_dump(mode="json")), method_name="resume")

    def _make(self, api: PodApi, call: StepCall, pod: dict[str, Any], name: str) -> bool:
        """Make the pod and its Secret; return whether it has one."""
        data = run_secret_data(call)
        created = api.create_pod(pod)
        self._name = name
        if data:
            api.create_secret(name, data=data, labels=own_labels(call), owner=created)
        logger.info("Running %s in pod %s of namespace %s", call.step, name, api.namespace)
        return bool(data)

    def _run_pod(self, api: PodApi, call: StepCall, pod: dict[str, Any], name: str) -> Envelope:
        follower = PodFollower(api, name, start_seconds=self._execution.start_timeout.total_seconds(), own_secret=name)
        with follower:
            try:
                self._make(api, call, pod, name)
                ended = follower.to_the_end()
                return how_it_ended(ended, step=call.step, asked=self._stopped, logged=follower.logged_result)
            except MongoBackupError as error:
                if self._stopped:
                    raise
                return failed(call.step, error)
            except BaseException:  # a timeout, say: the agent ends before this method does
                _end(api, name)
                follower.to_the_end()
                raise
            finally:
                _clean_up(api, name, secret=bool(run_secret_data(call)))

    def stop(self) -> None:
        """Ask the pod to end. See `Runner`."""
        self._stopped = True
        api, name = self._api, self._name
        if api is not None:
            api.ended = True
        if api is not None and name is not None:
            # a signal handler may have interrupted the client in the middle of something
            threading.Thread(target=_end, args=(api, name), name="pod-end").start()


def how_pod_ended(event: dict[str, Any]) -> Envelope:
    """Return how a step ended whose pod the triggerer watched; its pod and Secret are removed.

    :param event: what the trigger told.
    """
    ended = PodEnded.model_validate(event)
    it = ended.deferred
    _clean_up(PodApi(Access(it.connection).core_api, namespace=it.namespace), it.pod, secret=it.secret)
    return ended.envelope


def _end(api: PodApi, name: str) -> None:
    try:
        api.delete_pod(name)
    except MongoBackupError as error:
        logger.warning("Pod %s was not asked to end: %s", name, error)


def _clean_up(api: PodApi, name: str, *, secret: bool) -> None:
    """Remove the pod and its Secret; what fails here is done by Kubernetes or by the next try."""
    _end(api, name)
    if secret:
        try:
            api.delete_secret(name)
        except MongoBackupError as error:
            logger.warning("Secret %s goes with its pod, not at once: %s", name, error)


def _request(maker: AgentPod) -> dict[str, Any]:
    """Return the pod with the labels of the task instance.

    :raises ConfigurationError: there is no way to a cluster, or the pod template has a form that no pod has.
    """
    from kubernetes.config import ConfigException

    try:
        return maker.request(_context())
    except ConfigException as error:
        raise ConfigurationError(
            f"there is no way to a Kubernetes cluster ({error}): name an Airflow Connection of type `kubernetes` in "
            "`execution.kubernetes_connection`, or run Airflow inside the cluster"
        ) from error
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the pod template of the addon's function is no pod: {error}") from error


def _context() -> Context | None:
    """The running task's, None outside of one."""
    from airflow.sdk import get_current_context

    try:
        return get_current_context()
    except RuntimeError:
        return None
