"""The user's own steps, before and after the rest."""

from __future__ import annotations

from mongo_backup.agent.contract import BackupRequest, HooksResult, RunIdentity, RunOutcome
from mongo_backup.agent.restore_contract import RestoreRequest
from mongo_backup.agent.session import session_of
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.hooks.facts import HookFacts
from mongo_backup.hooks.run import HookRun, run_after, run_before
from mongo_backup.locks.target import leased
from mongo_backup.objects.hooks import AfterHook


def before_backup(request: BackupRequest, credentials: Credentials) -> HooksResult:
    """Run the session's hooks `before`.

    :raises PermanentError: one failed that is not to be ignored; nothing was touched.
    """
    run = _backup_run(request, credentials)
    with Connector(binding=run.binding, credentials=credentials) as connector, leased(connector, request.run.owner):
        return run_before(run, session_of(request).hooks.before)


def after_backup(request: BackupRequest, credentials: Credentials) -> HooksResult:
    """Run those of the session's hooks `after` that are for this outcome.

    :raises PermanentError: one failed that is not to be ignored; all were run.
    """
    return run_after(_backup_run(request, credentials), due(session_of(request).hooks.after, request.outcome))


def before_restore(request: RestoreRequest, credentials: Credentials) -> HooksResult:
    """Run the restore's hooks `before`.

    :raises PermanentError: one failed that is not to be ignored; nothing was touched.
    """
    run = _restore_run(request, credentials)
    with (
        Connector(binding=run.binding, credentials=credentials, restore=True) as connector,
        leased(connector, request.run.owner),
    ):
        return run_before(run, request.objects.configuration.spec.restore.hooks.before)


def after_restore(request: RestoreRequest, credentials: Credentials) -> HooksResult:
    """Run those of the restore's hooks `after` that are for this outcome.

    :raises PermanentError: one failed that is not to be ignored; all were run.
    """
    hooks = request.objects.configuration.spec.restore.hooks.after
    return run_after(_restore_run(request, credentials), due(hooks, request.outcome))


def due(hooks: tuple[AfterHook, ...], outcome: RunOutcome | None) -> tuple[AfterHook, ...]:
    """The hooks for this outcome; one that nobody knows is no success."""
    word = "success" if outcome is not None and outcome.success else "failure"
    return tuple(hook for hook in hooks if hook.when in (word, "always"))


def _backup_run(request: BackupRequest, credentials: Credentials) -> HookRun:
    known = {
        "kind": "backup",
        "configuration": request.objects.configuration.name,
        "session": request.session,
        "target": request.objects.target.name,
        "set_id": request.set_id or "",
        **_of_run(request.run, request.outcome),
    }
    return HookRun(
        facts=lambda hook: HookFacts.model_validate({**known, "hook": hook}),
        binding=request.objects.target,
        restore=False,
        credentials=credentials,
    )


def _restore_run(request: RestoreRequest, credentials: Credentials) -> HookRun:
    known = {
        "kind": "restore",
        "configuration": request.objects.configuration.name,
        "target": request.binding.name,
        "set_id": request.plan.set_id if request.plan else "",
        **_of_run(request.run, request.outcome),
    }
    return HookRun(
        facts=lambda hook: HookFacts.model_validate({**known, "hook": hook}),
        binding=request.binding,
        restore=True,
        credentials=credentials,
    )


def _of_run(run: RunIdentity, outcome: RunOutcome | None) -> dict[str, object]:
    facts: dict[str, object] = {"dag": run.dag_id, "run": run.run_id, "when": "after" if outcome else "before"}
    if outcome is not None:
        facts["outcome"] = "success" if outcome.success else "failure"
        facts |= {"complete": outcome.complete, "reason": outcome.reason or ""}
    return facts
