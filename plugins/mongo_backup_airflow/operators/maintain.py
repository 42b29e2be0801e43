"""The steps of a maintenance as tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mongo_backup.agent.maintain_contract import MaintainRequest, MaintainStep
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.hooks.credentials import backup_references, repository_references
from mongo_backup_airflow.operators.base import AgentOperator, run_identity
from mongo_backup_airflow.operators.finish import FinishMixin, states_of_run, times_of_run

if TYPE_CHECKING:
    from airflow.sdk import Context


class MaintainOperator(AgentOperator):
    """One step of a maintenance. Of the deployment it holds the lease, so that no backup begins meanwhile."""

    family = "maintain"

    def request(self, context: Context) -> MaintainRequest:
        """What the agent gets."""
        return MaintainRequest(
            run=run_identity(context),
            objects=self.subject.objects,
            try_number=context["ti"].try_number,
            **self.more(context),
        )

    def more(self, context: Context) -> dict[str, Any]:
        """Further fields of the request."""
        return {}

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The store's key, the repository's password; but for a copy the target's backup user as well."""
        objects = self.subject.objects
        return repository_references(objects) if objects.copy_name else backup_references(objects)


class MaintenanceMetricsOperator(MaintainOperator):
    """Pushes metrics, of failed maintenances too."""

    def more(self, context: Context) -> dict[str, Any]:
        """States and times of the run's tasks, and what was pruned."""
        return {
            **times_of_run(context),
            "states": states_of_run(context),
            "pruned": context["ti"].xcom_pull(task_ids=MaintainStep.PRUNE.value),
        }

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """None: a Connection that is missing may be what made the run fail."""
        return ()


class FinishMaintenanceOperator(FinishMixin, MaintainOperator):
    """Lets go of the target and of stale locks, then judges the run."""

    complete_task = MaintainStep.PRUNE.value
    complete_words = "the repository is checked and pruned, but the run is not clean"
    first_task = MaintainStep.CHECK.value

    def incomplete(self, states: dict[str, str]) -> str:
        """What was not done."""
        if states.get(MaintainStep.CHECK.value) == "success":
            return "the repository is checked and not pruned"
        return "the repository is not checked, so nothing was pruned: see the log of check"
