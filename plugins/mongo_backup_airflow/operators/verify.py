"""The steps of a verification as tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from pydantic import ValidationError

from mongo_backup.agent.verify_contract import VerifyParameters, VerifyRequest, VerifyStep
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.hooks.credentials import repository_references
from mongo_backup_airflow.operators.base import AgentOperator, run_identity
from mongo_backup_airflow.operators.finish import FinishMixin, states_of_run, times_of_run
from mongo_backup_airflow.operators.source import source_of

if TYPE_CHECKING:
    from airflow.sdk import Context


class VerifyOperator(AgentOperator):
    """One step of a verification. Nothing of it touches the deployment that was backed up."""

    family = "verify"

    def request(self, context: Context) -> VerifyRequest:
        """What the agent gets; each result of an earlier task as far as it is there."""
        ti = context["ti"]
        objects, given = source_of(context["params"], self.subject.objects)
        return VerifyRequest(
            run=run_identity(context),
            objects=objects,
            parameters=_parameters(given),
            try_number=ti.try_number,
            chosen=ti.xcom_pull(task_ids=VerifyStep.CHOOSE_SET.value),
            **self.more(context),
        )

    def more(self, context: Context) -> dict[str, Any]:
        """Further fields of the request."""
        return {}

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The store's key and the repository's password."""
        return repository_references(source_of(context["params"], self.subject.objects)[0])


class VerificationMetricsOperator(VerifyOperator):
    """Pushes metrics, of failed verifications too."""

    def more(self, context: Context) -> dict[str, Any]:
        """States and times of the run's tasks, and what was found."""
        return {
            **times_of_run(context),
            "states": states_of_run(context),
            "verified": context["ti"].xcom_pull(task_ids=VerifyStep.RESTORE_AND_COMPARE.value),
        }

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """None: a Connection that is missing may be what made the run fail."""
        return ()


class FinishVerificationOperator(FinishMixin, VerifyOperator):
    """Sweeps what a verification that was killed left on this machine, then judges the run."""

    complete_task = VerifyStep.RESTORE_AND_COMPARE.value
    complete_words = "the snapshot is verified, but the run is not clean"
    first_task = VerifyStep.CHOOSE_SET.value

    def incomplete(self, states: dict[str, str]) -> str:
        """A verdict or none: the task's log tells."""
        return "the snapshot is not verified: see the log of restore_and_compare"


def _parameters(params: dict[str, Any]) -> VerifyParameters:
    """Turn the trigger form's values into the verification's parameters.

    :raises AirflowFailException: a value or a name is wrong. The form checks too, the REST API not everything.
    """
    try:
        return VerifyParameters.model_validate(params)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
        raise AirflowFailException(f"the verification's parameters are wrong: {problems}") from None
