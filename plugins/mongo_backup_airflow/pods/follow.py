"""Watches one pod until its agent has ended, and shows the agent's log meanwhile."""

from __future__ import annotations

import contextvars
import datetime as dt
import logging
import re
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from mongo_backup.agent.contract import RESULT_MARK
from mongo_backup.errors import ConfigurationError, InterruptedByRequestError, MongoBackupError, TransientError
from mongo_backup_airflow.pods.api import PodApi
from mongo_backup_airflow.pods.reasons import has_ended, is_running, why_not_starting, why_still_pending
from mongo_backup_airflow.pods.spec import CONTAINER
from mongo_backup_airflow.runners.relay import say

logger = logging.getLogger(__name__)

FIRST_POLL, LONGEST_POLL = 0.2, 2.0
"""Seconds between two looks at the pod: quick ones while it starts and ends."""
LOOK_AT_EVENTS_SECONDS = 5.0
MISSING_SECRET_SECONDS = 20.0
LOG_AFTER_END_SECONDS = 15.0
LOG_AGAIN_SECONDS = 3.0
LOST_AFTER_SECONDS = 30.0
"""A pod that is still there this long after its grace period is on a node that does not answer."""

STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d) ?(.*)", re.DOTALL)
MISSING_SECRET = re.compile(r'secret "([^"]+)" not found')


class PodFollower:
    """Follows one pod. Not for use by several threads.

    :param start_seconds: how long it may take to start.
    :param own_secret: the Secret made for the run: it may come a moment after the pod.
    :param until: Unix time at which the pod is asked to end; None: somebody else sees to that.
    """

    def __init__(
        self, api: PodApi, name: str, *, start_seconds: float, own_secret: str, until: float | None = None
    ) -> None:
        self._api = api
        self._name = name
        self._start_seconds = start_seconds
        self._own_secret = own_secret
        self._until = until
        self._stopped = False
        self.over = False
        """The pod was asked to end because its time was over."""
        self._began = time.monotonic()
        self._log = LogFollower(api, name)
        self._last: Any = None
        self._warned: set[str] = set()
        self._events_at = self._began + LOOK_AT_EVENTS_SECONDS
        self._deleted_at: float | None = None

    def __enter__(self) -> PodFollower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.stop()

    def to_the_end(self) -> Any:
        """Return the pod as it was last seen, with its agent ended; or as it was before it vanished.

        May be called again after an exception.

        :raises MongoBackupError: it does not start, its node is lost, or the API server is away for too long.
        :raises InterruptedByRequestError: `stop` was called.
        """
        while not self._look():
            self._check_time()
            self._wait()
            if self._stopped:
                raise InterruptedByRequestError(f"pod {self._name} is not followed any more")
        self._log.finish()
        return self._last

    def stop(self) -> None:
        """Let `to_the_end` end soon although the pod goes on. From any thread; does not wait."""
        self._stopped = self._api.ended = True

    @property
    def logged_result(self) -> str | None:
        """The result document as the log has it, when it is too large for the termination message."""
        return self._log.result

    def _look(self) -> bool:
        """Look at the pod; return whether its agent has ended."""
        pod = self._api.read_pod(self._name)
        if pod is None:
            if self._last is None:
                raise TransientError(f"pod {self._name} is gone: somebody or something else deleted it")
            self._last.metadata.deletion_timestamp = self._last.metadata.deletion_timestamp or dt.datetime.now(dt.UTC)
            return True
        self._last = pod
        if is_running(pod):
            self._log.start()
        if has_ended(pod):
            return True
        self._check_node(pod)
        if not is_running(pod):
            self._check_start(pod)
        return False

    def _wait(self) -> None:
        waited = time.monotonic() - self._began
        if not self._log.ended.wait(min(max(FIRST_POLL, waited / 30), LONGEST_POLL)):
            return
        time.sleep(FIRST_POLL)  # the agent is ending: its state follows in a moment
        if self._log.ended_since() > LOG_AGAIN_SECONDS:  # the log broke off, as when an API server restarts
            self._log.start_again()

    def _check_time(self) -> None:
        if self._until is not None and not self.over and time.time() > self._until:
            self.over = True
            logger.error("The time limit is over: pod %s is asked to end", self._name)
            self._api.delete_pod(self._name)

    def _check_node(self, pod: Any) -> None:
        """A pod that was asked to end and does not: its node is gone, or cut off.

        :raises TransientError: so it seems.
        """
        if pod.metadata.deletion_timestamp is None:
            return
        self._deleted_at = self._deleted_at or time.monotonic()
        grace = pod.metadata.deletion_grace_period_seconds or 0
        if time.monotonic() > self._deleted_at + grace + LOST_AFTER_SECONDS:
            raise TransientError(
                f"pod {self._name} was asked to end and did not within {grace} s: node {pod.spec.node_name} "
                "does not answer; what the pod held is released by this run's unlock tasks"
            )

    def _check_start(self, pod: Any) -> None:
        """Raise if the pod cannot start, or takes too long."""
        if error := why_not_starting(pod):
            raise error
        now = time.monotonic()
        if now > self._events_at:
            self._events_at = now + LOOK_AT_EVENTS_SECONDS
            self._show_warnings()
        if now > self._began + self._start_seconds:
            reason = why_still_pending(pod, self._api.warnings(self._name))
            raise TransientError(f"pod {self._name} did not start within {self._start_seconds:.0f} s: {reason}")

    def _show_warnings(self) -> None:
        for warning in self._api.warnings(self._name):
            if warning not in self._warned:
                self._warned.add(warning)
                logger.warning("%s", warning)
            if error := self._missing_secret(warning):
                raise error

    def _missing_secret(self, warning: str) -> MongoBackupError | None:
        found = MISSING_SECRET.search(warning)
        if found is None or found[1] == self._own_secret:
            return None
        if time.monotonic() < self._began + MISSING_SECRET_SECONDS:
            return None
        return ConfigurationError(
            f"there is no Kubernetes Secret {found[1]!r} in namespace {self._api.namespace}: create it, "
            "or correct the reference"
        )


class LogFollower:
    """Shows a container's log from a thread of its own; after a break it goes on where it was."""

    def __init__(self, api: PodApi, pod: str) -> None:
        self._api = api
        self._pod = pod
        self.ended = threading.Event()
        """The log came to its end: the container ends."""
        self._ended_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.result: str | None = None
        self._seen = ""
        self._seen_at: dt.datetime | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread is None:
            show = contextvars.copy_context().run  # a triggerer knows by it whose log this is
            self._thread = threading.Thread(target=show, args=(self._run,), name="pod-log", daemon=True)
            self._thread.start()

    def start_again(self) -> None:
        """Begin anew after the end, where it was."""
        self.ended.clear()
        self._thread = None
        self.start()

    def ended_since(self) -> float:
        """Seconds since the log came to its end."""
        return time.monotonic() - self._ended_at

    def finish(self) -> None:
        """Wait for the rest of an ended container's log; not for ever: its node may be gone."""
        if self._thread is not None:
            self._thread.join(LOG_AFTER_END_SECONDS)

    def stop(self) -> None:
        """Let it end; does not wait."""
        self._stop.set()

    def _run(self) -> None:
        pause = FIRST_POLL
        while not self._stop.is_set():
            try:
                for line in self._lines():
                    pause = FIRST_POLL
                    if self._stop.is_set():
                        return
                    self._show(line)
            except (ApiException, HTTPError, OSError) as error:
                logger.debug("reading the log of %s broke off: %s", self._pod, error)
                if getattr(error, "status", None) in (400, 404):  # nothing left to read
                    break
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_POLL)
            else:
                break
        self._ended_at = time.monotonic()
        self.ended.set()

    def _lines(self) -> Iterator[bytes]:
        since = None
        if self._seen_at is not None:
            since = int((dt.datetime.now(dt.UTC) - self._seen_at).total_seconds()) + 2
        response = self._api.follow_log(self._pod, container=CONTAINER, since_seconds=since)
        rest = b""
        try:
            for data in response.stream(amt=None):
                *lines, rest = (rest + data).split(b"\n")
                yield from lines
            if rest:
                yield rest
        finally:
            response.close()

    def _show(self, line: bytes) -> None:
        """Show a line unless it was shown before the break."""
        match = STAMPED.match(line)
        if match is None:
            self._say(line)
            return
        second, fraction, zone, text = match.groups()
        stamp = second.decode() + (fraction or b"").decode().ljust(9, "0")
        if stamp <= self._seen:
            return
        self._seen = stamp
        self._seen_at = dt.datetime.fromisoformat(second.decode() + zone.decode().replace("Z", "+00:00"))
        self._say(text)

    def _say(self, text: bytes) -> None:
        if text.startswith(RESULT_MARK.encode()):
            self.result = text.removeprefix(RESULT_MARK.encode()).decode("utf-8", errors="replace")
        else:
            say(text)
