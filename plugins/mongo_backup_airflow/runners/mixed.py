"""The last step on the worker, of a run whose other steps have pods: no dump's or restore's pod outlives it.

A worker that was killed does not take its pod with it. The task's next try ends that pod first; after its last try that
is left to `finish`, which does it by itself where it has a pod of its own (`pods.leftovers`).
"""

from __future__ import annotations

import logging

from mongo_backup.agent.contract import Envelope
from mongo_backup.errors import MongoBackupError
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.kubernetes import KubernetesRunner
from mongo_backup_airflow.runners.local import LocalRunner

logger = logging.getLogger(__name__)


class LastStepRunner:
    """Ends the pods that the run has left, then runs the step here. See `Runner`.

    :param pods: the runner that the step would have if it had a pod.
    """

    def __init__(self, *, pods: KubernetesRunner) -> None:
        self._pods = pods
        self._local = LocalRunner()

    def run(self, call: StepCall) -> Envelope:
        """Run the step. A cluster that does not answer does not hold it up: nothing matters more than its own work."""
        try:
            self._pods.end_leftovers(call)
        except MongoBackupError as error:
            logger.warning("Pods that this run may have left were not looked for: %s", error)
        return self._local.run(call)

    def stop(self) -> None:
        """Ask the running step to end. See `Runner`."""
        self._local.stop()
