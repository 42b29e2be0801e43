"""One step of the agent as an Airflow task."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, AirflowTaskTimeout

from mongo_backup.agent.contract import Envelope, RunIdentity
from mongo_backup.errors import ConfigurationError, ExitCode, MongoBackupError, TargetBusyError
from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference
from mongo_backup_airflow.queueing import when_busy
from mongo_backup_airflow.runners.base import Runner, StepCall, runner_for, runs_in_pod
from mongo_backup_airflow.subject import Subject

if TYPE_CHECKING:
    from airflow.sdk import Context

RESULT_KEY = "result"
"""XCom of what the step returned, where the return value is the list that another task maps over."""
REASON_KEY = "reason"
"""XCom of a try that failed: its error's words, for the task that judges the run."""
LONGEST_REASON = 400

NO_USE_RETRYING = (ConfigurationError,)
"""A teardown is tried again after any other error: nothing matters more than that it succeeds."""


class AgentOperator(BaseOperator):
    """Runs one step of the agent. The step's result (small) is the task's return value.

    An error for which another try makes sense is raised as it is and Airflow tries again; any other fails the task at
    once. While another run is at work on the target, the configuration's `concurrency` decides. When the task is ended
    (marked, cleared, timed out, its worker stopped or killed) its agent undoes its own marks on the target and ends
    too.

    :param subject: the objects that the step works on.
    :param step: the step, without its family: `prepare`.
    """

    family: ClassVar[str]
    """`backup` or `restore`."""
    side_by_side: ClassVar[frozenset[str]] = frozenset()
    """Steps that start although other agents of their run live: those that run several at a time, and those that
    undo, which nothing may hold up. Any other waits until what an older try left behind has ended."""
    template_fields: Sequence[str] = ("step",)
    ui_color = "#e8f4ea"

    def __init__(self, *, subject: Subject, step: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.subject = subject
        self.step = step
        self._runner: Runner | None = None

    def execute(self, context: Context) -> Any:
        """Run the step and return its result."""
        return self.returned(self.run_step(context), context)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on when the pod has ended for which no worker waited."""
        from mongo_backup_airflow.runners.kubernetes import how_pod_ended

        return self.returned(self._result(lambda: how_pod_ended(event), context), context)

    def returned(self, result: dict[str, Any], context: Context) -> Any:
        """What becomes the task's return value: the result itself, unless a step says otherwise."""
        return result

    def run_step(self, context: Context) -> dict[str, Any]:
        """Run the agent to its end.

        :raises AirflowFailException: it failed in a way that another try would not better.
        :raises AirflowRescheduleException: it waits in the queue for the end of another run.
        :raises MongoBackupError: it failed and may be tried again.
        """
        return self._result(lambda: self._call_agent(context), context)

    def _result(self, envelope_of: Callable[[], Envelope], context: Context) -> dict[str, Any]:
        try:
            return self._judged(envelope_of, context)
        except (MongoBackupError, AirflowFailException) as error:
            self._leave_reason(str(error), context)
            raise

    def _leave_reason(self, reason: str, context: Context) -> None:
        try:
            context["ti"].xcom_push(key=REASON_KEY, value=shortened(reason))
        except (AirflowRuntimeError, EOFError, OSError) as error:  # the reason itself matters more, and is in the log
            self.log.warning("The reason was not kept for the end of the run: %s", error)

    def _judged(self, envelope_of: Callable[[], Envelope], context: Context) -> dict[str, Any]:
        try:
            envelope = envelope_of()
        except MongoBackupError as error:
            raise self._as_airflow_sees_it(error, context) from error
        except AirflowTaskTimeout:
            if self.is_teardown:
                raise
            limit = self.execution_timeout or timedelta()
            raise AirflowFailException(f"{self.step} was ended after its time limit of {limit}") from None
        if not envelope.ok:
            raise self._as_airflow_sees_it(envelope.error(), context)
        return envelope.result or {}

    def on_kill(self) -> None:
        """Let the agent undo its marks and end; `execute` sees its log through to the end."""
        if self._runner is not None:
            self._runner.stop()

    # What a step brings

    @abstractmethod
    def request(self, context: Context) -> Model:
        """The step's request."""

    @abstractmethod
    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """The credentials that the step needs."""

    # How it is run

    def _call_agent(self, context: Context) -> Envelope:
        # The runner comes first: from here on the step can be stopped, also before its agent starts.
        self._runner = runner_for(self.subject.objects, f"{self.family}.{self.step}")
        return self._runner.run(self._call(context))

    def _call(self, context: Context) -> StepCall:
        from mongo_backup_airflow.hooks.credentials import credentials_document, secret_names

        ti, step, objects = context["ti"], f"{self.family}.{self.step}", self.subject.objects
        index = f"[{ti.map_index}]" if ti.map_index is not None and ti.map_index >= 0 else ""
        in_pod = runs_in_pod(objects.configuration.spec.execution, step)
        references = list(self.references(context))
        request = self.request(context)
        return StepCall(
            step=step,
            request=request,
            credentials=credentials_document(references, secrets_elsewhere=in_pod),
            secrets=secret_names(references),
            run=run_identity(context).owner,
            task=f"{ti.task_id}{index}",
            alone=self.step not in self.side_by_side,
            labels={
                "configuration": objects.configuration.name,
                "session": self.subject.session or "",
                "component": getattr(request, "component", None) or "",
                "copy": _copy_of(request),
            },
            limit=self.execution_timeout,
            try_number=ti.try_number,
        )

    def _as_airflow_sees_it(self, error: MongoBackupError, context: Context) -> Exception:
        if isinstance(error, TargetBusyError) and not self.is_teardown:
            return when_busy(error, self.subject.objects.configuration, context)
        again = not isinstance(error, NO_USE_RETRYING) if self.is_teardown else error.retryable
        name = ExitCode(error.exit_code).name.lower()
        return error if again else AirflowFailException(f"{error.message} ({name})")


def run_identity(context: Context) -> RunIdentity:
    """Which DAG run this is."""
    ti, started = context["ti"], context["dag_run"].start_date
    return RunIdentity(dag_id=ti.dag_id, run_id=ti.run_id, started=started.isoformat() if started else None)


def _copy_of(request: Model) -> str:
    """The copy that a step brings up to date, or reads in place of the repository."""
    named = getattr(request, "copy_name", None) or getattr(getattr(request, "objects", None), "copy_name", None)
    return named or ""


def shortened(reason: str) -> str:
    """An error's words in one line, for people who read many."""
    line = " ".join(reason.split())
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 3]}..."


def all_results(context: Context, task: str) -> list[Any]:
    """What the instances of a mapped task returned, as far as they succeeded."""
    ti = context["ti"]
    found = ti.xcom_pull(task_ids=[task])
    return [each for each in found if each is not None]
