"""Which function does which step. Modules are imported only for the step that is asked for: starting must be quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model

StepFunction = Callable[[Model, Credentials], Model]

_BACKUP = "mongo_backup.agent.contract:BackupRequest"
_RESTORE = "mongo_backup.agent.restore_contract:RestoreRequest"
_VERIFY = "mongo_backup.agent.verify_contract:VerifyRequest"
_WATCH = "mongo_backup.agent.release_contract:WatchRequest"
_MAINTAIN = "mongo_backup.agent.maintain_contract:MaintainRequest"
_STEPS = "mongo_backup.agent.steps"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: the form of its request and the function that does it, both as `module:name`."""

    request: str
    function: str

    def request_type(self) -> type[Model]:
        """Import and return the request's model."""
        found = _load(self.request)
        if not (isinstance(found, type) and issubclass(found, Model)):
            raise TypeError(f"{self.request} is no model")
        return found

    def call(self) -> StepFunction:
        """Import and return the function."""
        found: StepFunction = _load(self.function)  # type: ignore[assignment]
        return found


def _load(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _family(prefix: str, request: str, functions: dict[str, str]) -> dict[str, Step]:
    return {
        f"{prefix}.{step}": Step(request=request, function=f"{_STEPS}.{function}")
        for step, function in functions.items()
    }


STEPS: dict[str, Step] = {
    **_family(
        "backup",
        _BACKUP,
        {
            "prepare": "prepare:prepare",
            "hooks_before": "hooks:before_backup",
            "disable_balancer": "balancer:disable_balancer",
            "identify_secondaries": "members:identify_secondaries",
            "lock_config_server": "locks:lock_config_server",
            "lock_secondaries": "locks:lock_secondaries",
            "dump": "dump:dump",
            "unlock_secondaries": "locks:unlock_secondaries",
            "unlock_config_server": "locks:unlock_config_server",
            "enable_balancer": "balancer:enable_balancer",
            "commit_snapshot": "commit:commit_snapshot",
            "copy": "copy:copy",
            "apply_retention": "retention:apply_retention",
            "push_metrics": "metrics:push_metrics",
            "hooks_after": "hooks:after_backup",
            "finish": "finish:finish",
        },
    ),
    **_family(
        "restore",
        _RESTORE,
        {
            "plan_restore": "restore_plan:plan_restore",
            "hooks_before": "hooks:before_restore",
            "disable_balancer": "restore_control:disable_balancer",
            "drop_existing": "restore_data:drop_existing",
            "restore": "restore_data:restore",
            "restore_metadata": "restore_data:restore_metadata",
            "build_indexes": "restore_data:build_indexes",
            "verify_restore": "restore_verify:verify_restore",
            "enable_balancer": "restore_control:enable_balancer",
            "push_metrics": "restore_control:push_metrics",
            "hooks_after": "hooks:after_restore",
            "finish": "restore_control:finish",
        },
    ),
    **_family(
        "maintain",
        _MAINTAIN,
        {
            "check": "maintain:check",
            "prune": "maintain:prune",
            "push_metrics": "maintain:push_metrics",
            "finish": "maintain:finish",
        },
    ),
    **_family(
        "verify",
        _VERIFY,
        {
            "choose_set": "verify:choose_set",
            "restore_and_compare": "verify:restore_and_compare",
            "push_metrics": "verify:push_metrics",
            "finish": "verify:finish",
        },
    ),
    **_family("release", _WATCH, {"expired": "release:expired"}),
}
"""Every step by its full name, such as `backup.dump` or `restore.plan_restore`."""


def find_step(name: str) -> Step:
    """Return the step of that name.

    :raises ConfigurationError: there is none; the message lists those that exist.
    """
    try:
        return STEPS[name]
    except KeyError:
        raise ConfigurationError(f"there is no step {name}: the steps are {', '.join(STEPS)}") from None
