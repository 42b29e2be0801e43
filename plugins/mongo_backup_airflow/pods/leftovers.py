"""Pods that an older try left behind: a worker that was killed does not take its pod with it."""

from __future__ import annotations

import logging
import time
from typing import Any

from mongo_backup.errors import ConflictError
from mongo_backup_airflow.pods.api import PodApi
from mongo_backup_airflow.pods.spec import LABEL_PREFIX, digest
from mongo_backup_airflow.runners.base import TASKS, StepCall

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5


def end_older_pods(api: PodApi, call: StepCall, *, patience: float) -> None:
    """End what may not run beside this step, and wait for that.

    Older tries of the same task always; of the whole run if the step runs alone. A step that undoes ends the run's
    dumps and restores too (no task of theirs lives when it starts), but nothing may hold it up, so it does not wait.

    :param patience: seconds for all of them to end.
    :raises ConflictError: one does not end: its node does not answer.
    """
    pods = api.find_pods(f"{LABEL_PREFIX}run={digest(call.run)}")
    task = digest(call.task)
    mine = [pod for pod in pods if call.alone or pod.metadata.labels[f"{LABEL_PREFIX}task"] == task]
    others = [pod for pod in pods if pod not in mine and _moves_data(pod)] if not _is_data_step(call.step) else []
    for pod in (*mine, *others):
        if pod.metadata.deletion_timestamp is None:
            logger.info("Ending pod %s of an older try", pod.metadata.name)
            api.delete_pod(pod.metadata.name)
    _wait_for_the_end(api, [pod.metadata.name for pod in mine], patience=patience)


def _is_data_step(step: str) -> bool:
    return TASKS.get(step) in ("backup", "restore")


def _moves_data(pod: Any) -> bool:
    return _is_data_step(pod.metadata.labels.get(f"{LABEL_PREFIX}step", ""))


def _wait_for_the_end(api: PodApi, names: list[str], *, patience: float) -> None:
    deadline = time.monotonic() + patience
    for name in names:
        while (pod := api.read_pod(name)) is not None:
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"pod {name} of an older try does not end on node {pod.spec.node_name}: if that node is down for "
                    f"good, remove the pod (kubectl delete pod {name} --namespace {api.namespace} --force)"
                )
            time.sleep(POLL_SECONDS)
