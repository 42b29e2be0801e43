"""What a task does while another run is at work on its target: it fails, or it waits without a worker.

A waiting task is in Airflow's state `up_for_reschedule`: it takes no slot, no process and no triggerer, and a new look
is no new try. It asks the target itself, so it does not matter who the other is: another DAG, another Airflow.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException

from mongo_backup.errors import TargetBusyError
from mongo_backup.objects.configuration import BackupConfiguration, Concurrency
from mongo_backup.objects.quantities import format_duration
from mongo_backup_airflow.delays import demonstration_delay

if TYPE_CHECKING:
    from airflow.sdk import Context

logger = logging.getLogger(__name__)

SOONEST = timedelta(seconds=15)
LATEST = timedelta(minutes=2)
SHARE = 8
"""The next look comes after this part of the time that was waited already."""


def when_busy(error: TargetBusyError, configuration: BackupConfiguration, context: Context) -> Exception:
    """Return what the task raises: a failure, or that it looks again later."""
    spec = configuration.spec
    if spec.concurrency is Concurrency.FORBID:
        return AirflowFailException(
            f"{error.message}. BackupConfiguration {configuration.name} says concurrency: forbid"
        )
    now = datetime.now(UTC)
    waited = now - (context["ti"].get_first_reschedule_date(context) or now)
    if waited >= spec.queue_timeout:
        return AirflowFailException(
            f"given up after {format_duration(spec.queue_timeout)} (queue_timeout) in the queue: {error.message}"
        )
    pause = min(next_pause(waited), spec.queue_timeout - waited)
    logger.warning("Waiting in the queue, next look in %.0f s: %s", pause.total_seconds(), error.message)
    return AirflowRescheduleException(now + pause)  # type: ignore[no-untyped-call]


def next_pause(waited: timedelta) -> timedelta:
    """How long to wait until the next look."""
    return demonstration_delay() or min(max(waited / SHARE, SOONEST), LATEST)
