"""The few calls to Kubernetes that the runner makes, each with its own patience and the product's errors."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

from kubernetes.client import CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from mongo_backup.errors import ConfigurationError, MongoBackupError, TransientError

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Pod = Any
"""A `V1Pod`: the client's models carry no types."""

TIMEOUT = (5, 30)
"""Seconds for a connection and for an answer."""
LOG_TIMEOUT = (5, 300)
PATIENCE_SECONDS = 300.0
"""How long an API server may be away before the task gives up."""
LONGEST_PAUSE = 5.0

FRESH_SECONDS = 30.0
"""An API server that has just come up refuses everybody (403) until it has read the roles."""

GONE, EXISTS, UNAUTHORIZED, FORBIDDEN = 404, 409, 401, 403
TOO_MANY = 429
REFUSED = frozenset({400, 401, 403, 405, 413, 422})


class PodApi:
    """Pods, their logs and events, and the Secrets made for them, in one namespace.

    :param client: returns the client; called anew with `True` after the API server refused its credentials.
    """

    def __init__(self, client: Callable[[bool], CoreV1Api], *, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self.ended = False
        """Set from a signal handler: do not wait for an API server that is away."""
        self._away_at = -math.inf

    def create_pod(self, pod: Pod) -> Pod:
        """Create a pod; a repeated call of the same name finds the one that is there.

        :raises ConfigurationError: Kubernetes refuses it: rights, admission, quota, form.
        :raises TransientError: the API server did not answer for long, or somebody deletes the pod at once.
        """
        name = pod["metadata"]["name"]
        try:
            return self._patiently(lambda c: c.create_namespaced_pod(self.namespace, pod, _request_timeout=TIMEOUT))
        except _ExistsError:
            if (found := self.read_pod(name)) is None:
                raise TransientError(f"pod {name} was deleted as soon as it was made") from None
            return found

    def create_secret(self, name: str, *, data: dict[str, str], labels: dict[str, str], owner: Pod) -> None:
        """Create a Secret that goes with its pod."""
        body = {
            "metadata": {
                "name": name,
                "labels": labels,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": owner.metadata.name, "uid": owner.metadata.uid}
                ],
            },
            "immutable": True,
            "stringData": data,
        }
        try:
            self._patiently(lambda c: c.create_namespaced_secret(self.namespace, body, _request_timeout=TIMEOUT))
        except _ExistsError:
            return

    def read_pod(self, name: str) -> Pod | None:
        """Return a pod, None when there is none."""
        try:
            return self._patiently(lambda c: c.read_namespaced_pod(name, self.namespace, _request_timeout=TIMEOUT))
        except _GoneError:
            return None

    def find_pods(self, selector: str) -> list[Pod]:
        """Return the pods with these labels."""
        found = self._patiently(
            lambda c: c.list_namespaced_pod(self.namespace, label_selector=selector, _request_timeout=TIMEOUT)
        )
        return list(found.items)

    def delete_pod(self, name: str) -> None:
        """Ask a pod to end, with the grace period of its own specification."""
        self._delete(lambda c: c.delete_namespaced_pod(name, self.namespace, _request_timeout=TIMEOUT))

    def delete_secret(self, name: str) -> None:
        """Remove a Secret."""
        self._delete(lambda c: c.delete_namespaced_secret(name, self.namespace, _request_timeout=TIMEOUT))

    def warnings(self, pod: str) -> list[str]:
        """Return what Kubernetes complains about, the newest last; nothing when it cannot be read."""
        try:
            found = self._client(False).list_namespaced_event(
                self.namespace,
                field_selector=f"involvedObject.name={pod},type=Warning",
                _request_timeout=TIMEOUT,
            )
        except (ApiException, HTTPError, OSError):
            return []
        events = sorted(found.items, key=lambda event: event.metadata.creation_timestamp)
        return [f"{event.reason}: {event.message}" for event in events]

    def follow_log(self, pod: str, *, container: str, since_seconds: int | None) -> BaseHTTPResponse:
        """Return the container's log with the time of each line, as a stream that ends with the container."""
        more = {"since_seconds": since_seconds} if since_seconds else {}
        response: BaseHTTPResponse = self._client(False).read_namespaced_pod_log(
            pod,
            self.namespace,
            container=container,
            follow=True,
            timestamps=True,
            _preload_content=False,
            _request_timeout=LOG_TIMEOUT,
            **more,
        )
        return response

    def _delete(self, call: Callable[[CoreV1Api], Any]) -> None:
        try:
            self._patiently(call)
        except _GoneError:
            return

    def _patiently(self, call: Callable[[CoreV1Api], Answer]) -> Answer:
        """Call again while the API server is away, overloaded or in trouble."""
        deadline, pause, renew, told = time.monotonic() + PATIENCE_SECONDS, 0.2, False, False
        while True:
            try:
                answer = call(self._client(renew))
            except (ApiException, HTTPError, OSError, ConfigException) as error:
                renew = not renew and getattr(error, "status", None) == UNAUTHORIZED
                trouble = self._judged(error)
                if not renew and (not isinstance(trouble, TransientError) or time.monotonic() > deadline or self.ended):
                    raise trouble from None
                if not told:
                    logger.warning("%s; trying again for up to %.0f s", trouble, PATIENCE_SECONDS)
                    told = True
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if told:
                    logger.info("The Kubernetes API server answers again")
                return answer

    def _judged(self, error: Exception) -> Exception:
        """The product's error for one of the client's; a refusal by a server that was away a moment ago may pass."""
        trouble = _translated(error, namespace=self.namespace)
        if isinstance(trouble, TransientError) and not isinstance(error, ApiException):
            self._away_at = time.monotonic()
        if getattr(error, "status", None) == FORBIDDEN and time.monotonic() - self._away_at < FRESH_SECONDS:
            return TransientError(str(trouble))
        return trouble


class _GoneError(Exception):
    """What was asked for is not there."""


class _ExistsError(Exception):
    """What should be made is there."""


def _translated(error: Exception, *, namespace: str) -> Exception:
    """Return the product's error for one of the client's."""
    if isinstance(error, ConfigException):
        return ConfigurationError(
            f"there is no way to a Kubernetes cluster ({error}): name an Airflow Connection of type `kubernetes` in "
            "`execution.kubernetes_connection`, or run Airflow inside the cluster"
        )
    if not isinstance(error, ApiException):
        return TransientError(f"the Kubernetes API server cannot be reached ({type(error).__name__})")
    if error.status == GONE and "namespaces" in (reason := _reason(error)):
        return ConfigurationError(f"{reason}: create the namespace, or correct `execution.namespace`")
    if error.status == GONE:
        return _GoneError()
    if error.status == EXISTS and "AlreadyExists" in str(error.body):
        return _ExistsError()
    if error.status in REFUSED:
        return _refused(error, namespace)
    return TransientError(f"the Kubernetes API server answers {error.status}: {_reason(error)}")


def _refused(error: ApiException, namespace: str) -> MongoBackupError:
    reason = _reason(error)
    if "exceeded quota" in reason:
        return TransientError(f"namespace {namespace} is full: {reason}")
    if "violates PodSecurity" in reason:
        return ConfigurationError(
            f"Kubernetes does not admit the pod: {reason}; correct the addon function's pod template and contexts"
        )
    if error.status == UNAUTHORIZED:
        return ConfigurationError(f"Kubernetes does not know who asks ({reason}): renew the connection's token")
    return ConfigurationError(f"Kubernetes refuses: {reason} (see docs/reference/rbac.md for the rights needed)")


def _reason(error: ApiException) -> str:
    """The API server's own sentence."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)
