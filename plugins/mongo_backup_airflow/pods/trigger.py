"""Watches the pod of a long step from the triggerer, so that no worker waits for it.

The same follower as in a worker, in a thread: it streams the agent's log into the task's log and makes the same errors
of the same faults. A triggerer that is restarted begins to follow anew (and shows the log again from its beginning);
the pod itself does not notice.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import MongoBackupError, PermanentError
from mongo_backup.model import Model

if TYPE_CHECKING:
    from mongo_backup_airflow.pods.api import PodApi
    from mongo_backup_airflow.pods.follow import PodFollower

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

MOST_PODS = 1000
"""Pods that one triggerer follows at a time (Airflow gives it 1000 triggers at most, `[triggerer] capacity`)."""
_threads = ThreadPoolExecutor(MOST_PODS, thread_name_prefix="agent-pod")


class Deferred(Model):
    """A step whose pod runs while no worker waits for it: what its trigger needs."""

    step: str
    pod: str
    namespace: str
    secret: bool
    """A Secret of the pod's name was made for it."""
    connection: str | None = None
    start_seconds: float
    until: float | None = None
    """Unix time at which the step's time limit ends."""


class PodEnded(Model):
    """What the trigger tells the task."""

    deferred: Deferred
    envelope: Envelope


class AgentPodTrigger(BaseTrigger):
    """Fires when the agent of a pod has ended, with its result.

    :param deferred: the pod, as a plain document.
    """

    def __init__(self, deferred: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._deferred = Deferred.model_validate(deferred)
        self._follower: PodFollower | None = None
        self._cancelled = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What makes it anew in a triggerer."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return name, {"deferred": self._deferred.model_dump(mode="json")}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Follow the pod to its end."""
        try:
            envelope = await _in_thread(self._follow)
        except asyncio.CancelledError:
            self._cancelled = True
            if self._follower is not None:
                self._follower.stop()
            raise
        ended = PodEnded(deferred=self._deferred, envelope=envelope)
        yield TriggerEvent(ended.model_dump(mode="json"))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Somebody marked or cleared the task: the agent undoes its marks and ends."""
        logger.info("Ending pod %s: the task was marked or cleared", self._deferred.pod)
        await _in_thread(self._end)

    def _follow(self) -> Envelope:
        from mongo_backup_airflow.pods.follow import PodFollower
        from mongo_backup_airflow.pods.reasons import failed, how_it_ended

        it = self._deferred
        try:
            self._follower = PodFollower(
                self._api(), it.pod, start_seconds=it.start_seconds, own_secret=it.pod, until=it.until
            )
            with self._follower as follower:
                if self._cancelled:
                    follower.stop()
                pod = follower.to_the_end()
        except MongoBackupError as error:
            return failed(it.step, error)
        if follower.over:
            return failed(it.step, PermanentError(f"{it.step} was ended after its time limit"))
        return how_it_ended(pod, step=it.step, asked=False, logged=follower.logged_result)

    def _end(self) -> None:
        try:
            api = self._api()
            api.delete_pod(self._deferred.pod)
            if self._deferred.secret:
                api.delete_secret(self._deferred.pod)
        except MongoBackupError as error:
            logger.warning("Pod %s was not asked to end: %s", self._deferred.pod, error)

    def _api(self) -> PodApi:
        from mongo_backup_airflow.pods.access import Access
        from mongo_backup_airflow.pods.api import PodApi

        return PodApi(Access(self._deferred.connection).core_api, namespace=self._deferred.namespace)


async def _in_thread(act: Callable[[], Answer]) -> Answer:
    """Run it in a thread whose log lines find their way to the task's log."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, context.run, act)
