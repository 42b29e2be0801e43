"""The steps of a restore as tasks. The trigger form's parameters are its spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException
from pydantic import ValidationError

from mongo_backup.agent.restore_contract import RestoreParameters, RestoreRequest, RestoreStep
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.hooks.credentials import restore_references
from mongo_backup_airflow.operators.base import RESULT_KEY, AgentOperator, all_results, run_identity
from mongo_backup_airflow.operators.finish import FinishMixin, states_of_run, times_of_run
from mongo_backup_airflow.operators.source import source_of
from mongo_backup_airflow.subject import Subject

if TYPE_CHECKING:
    from airflow.sdk import Context

WORDS_KEY = "plan"
"""XCom of `plan_restore`: the plan as Markdown, for the person who approves it."""


class RestoreStepOperator(AgentOperator):
    """One step of a restore."""

    family = "restore"
    side_by_side: ClassVar[frozenset[str]] = frozenset(
        {RestoreStep.RESTORE, RestoreStep.ENABLE_BALANCER, RestoreStep.HOOKS_AFTER}
    )

    def request(self, context: Context) -> RestoreRequest:
        """What the agent gets; each result of an earlier task as far as it is there."""
        ti = context["ti"]
        parameters = restore_parameters(context["params"], self.subject)
        return RestoreRequest(
            run=run_identity(context),
            objects=source_of(context["params"], self.subject.objects)[0],
            target=self.target(parameters),
            parameters=parameters,
            try_number=ti.try_number,
            plan=ti.xcom_pull(task_ids=RestoreStep.PLAN_RESTORE.value, key=RESULT_KEY),
            **self.more(context),
        )

    def more(self, context: Context) -> dict[str, Any]:
        """Further fields of the request."""
        return {}

    def target(self, parameters: RestoreParameters) -> AppBinding | None:
        """The AppBinding to restore into; None: where the backup came from."""
        return self.subject.targets[parameters.target] if parameters.target else None

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The users of source and target, the store's key, the repository's password."""
        target = self.target(restore_parameters(context["params"], self.subject))
        objects, _ = source_of(context["params"], self.subject.objects)
        return restore_references(objects, target or objects.target)


class PlanRestoreOperator(RestoreStepOperator):
    """Makes the plan. Returns the components as a list, which `restore` maps over; the plan is the XCom `result`."""

    def returned(self, result: dict[str, Any], context: Context) -> list[str]:
        """The set's components.

        :raises ValueError: there is none; an empty list would make a run that restores nothing, in green.
        """
        components: dict[str, str] = result["components"]
        if not components:
            raise ValueError("the plan has no components: nothing would be restored")
        words = "\n".join(f"- {each}" for each in (*result["words"], *(f"**{w}**" for w in result["warnings"])))
        context["ti"].xcom_push(key=RESULT_KEY, value=result)
        context["ti"].xcom_push(key=WORDS_KEY, value=words)
        return list(components)


class MongoRestoreOperator(RestoreStepOperator):
    """Restores one component's documents into its primary.

    :param component: the component of the set, from `plan_restore`.
    """

    template_fields: Sequence[str] = ("step", "component")
    component_template = "{{ task.component }}"
    """How Airflow names the mapped task."""

    def __init__(self, *, component: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.component = component

    def more(self, context: Context) -> dict[str, Any]:
        """The component."""
        return {"component": self.component}


class RestoreMetricsOperator(RestoreStepOperator):
    """Pushes metrics, of failed restores too."""

    def more(self, context: Context) -> dict[str, Any]:
        """States and times of the run's tasks, and what was restored and verified."""
        return {
            **times_of_run(context),
            "states": states_of_run(context),
            "restored": all_results(context, RestoreStep.RESTORE.value),
            "verified": context["ti"].xcom_pull(task_ids=RestoreStep.VERIFY_RESTORE.value),
        }

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """None: a Connection that is missing may be what made the run fail."""
        return ()


class FinishRestoreOperator(FinishMixin, RestoreStepOperator):
    """Sweeps what the run may have left on the target, then judges the run."""

    complete_task = RestoreStep.VERIFY_RESTORE.value
    complete_words = "the restore is complete and verified, but the run is not clean"
    first_task = RestoreStep.PLAN_RESTORE.value

    def incomplete(self, states: dict[str, str]) -> str:
        """Whether the target's data were touched: dropping is the first step that does."""
        if states.get(RestoreStep.DROP_EXISTING.value) in ("success", "failed"):
            return "the restore is not complete: do not use the target's data as they are"
        return "nothing was restored, the target's data are as they were"


def restore_parameters(params: Mapping[str, Any], subject: Subject) -> RestoreParameters:
    """Turn the trigger form's values into the restore's parameters.

    :raises AirflowFailException: a value or a name is wrong. The form checks too, the REST API not everything.
    """
    _, given = source_of(params, subject.objects)
    if given.get("target") == subject.objects.target.name:
        del given["target"]
    try:
        parameters = RestoreParameters.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors())
        raise AirflowFailException(f"the restore's parameters are wrong: {problems}") from None
    if parameters.target and parameters.target not in subject.targets:
        raise AirflowFailException(f"target: there is no AppBinding {parameters.target!r} of the backup's topology")
    return parameters
