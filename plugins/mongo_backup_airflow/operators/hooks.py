"""The user's own steps as tasks: all hooks before a run are one task, all hooks after it another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from mongo_backup.agent.contract import BackupStep
from mongo_backup.agent.restore_contract import RestoreStep
from mongo_backup.errors import MongoBackupError
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import CredentialsReference
from mongo_backup.objects.hooks import Hook, Hooks
from mongo_backup_airflow.operators.backup import BackupOperator
from mongo_backup_airflow.operators.base import AgentOperator
from mongo_backup_airflow.operators.finish import reasons_of_run, states_of_run
from mongo_backup_airflow.operators.restore import RestoreStepOperator, restore_parameters
from mongo_backup_airflow.outcome import what_is_wrong

if TYPE_CHECKING:
    from airflow.sdk import Context

BEFORE, AFTER, FINISH = BackupStep.HOOKS_BEFORE.value, BackupStep.HOOKS_AFTER.value, BackupStep.FINISH.value


class HooksMixin(AgentOperator):
    """Runs hooks. They have tries of their own: a hook that failed is not begun again by Airflow."""

    complete_task: str
    """The task after which the work counts."""

    def outcome(self, context: Context) -> dict[str, Any]:
        """How the run went, for the hooks after it: as `finish` will judge, but for its own sweep."""
        if self.step != AFTER:
            return {}
        states = {task: state for task, state in states_of_run(context).items() if task != FINISH}
        wrong = what_is_wrong(states, reasons_of_run(context, states))
        complete = states.get(self.complete_task) == "success"
        return {"outcome": {"success": wrong is None, "complete": complete, "reason": wrong}}

    def wanted(self, hooks: Hooks, target: AppBinding, *, restore: bool) -> Iterator[CredentialsReference | None]:
        """What the hooks name, and the target's users as far as they are needed; nothing of the repository."""
        mine: tuple[Hook, ...] = hooks.before if self.step == BEFORE else hooks.after
        if self.step == BEFORE or any(hook.mongo is not None for hook in mine):
            yield target.spec.credentials
            yield target.spec.restore_credentials if restore else None
        for hook in mine:
            yield from hook.references()

    def _as_airflow_sees_it(self, error: MongoBackupError, context: Context) -> Exception:
        if self.is_teardown and not error.retryable:
            return AirflowFailException(error.message)
        return super()._as_airflow_sees_it(error, context)


class BackupHooksOperator(HooksMixin, BackupOperator):
    """Hooks of a session."""

    complete_task = BackupStep.COMMIT_SNAPSHOT.value

    def more(self, context: Context) -> dict[str, Any]:
        """How the run went."""
        return self.outcome(context)

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """What the hooks name, and the backup user."""
        objects = self.subject.objects
        session = objects.configuration.session(self.subject.session or "")
        return self.wanted(session.hooks, objects.target, restore=False)


class RestoreHooksOperator(HooksMixin, RestoreStepOperator):
    """Hooks of a restore."""

    complete_task = RestoreStep.VERIFY_RESTORE.value

    def more(self, context: Context) -> dict[str, Any]:
        """How the run went."""
        return self.outcome(context)

    def references(self, context: Context) -> Iterable[CredentialsReference | None]:
        """What the hooks name, and the users of the target."""
        objects = self.subject.objects
        target = self.target(restore_parameters(context["params"], self.subject)) or objects.target
        return self.wanted(objects.configuration.spec.restore.hooks, target, restore=True)
