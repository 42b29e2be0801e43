"""Runs hooks one after the other, each with its tries and its effect on the run."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mongo_backup.agent.contract import HookResult, HooksResult
from mongo_backup.credentials import Credentials
from mongo_backup.errors import InterruptedByRequestError, MongoBackupError, PermanentError
from mongo_backup.hooks import command, database, http
from mongo_backup.hooks.facts import HookFacts
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.hooks import Hook

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HookRun:
    """Where hooks run.

    :param facts: what a hook of that name is told.
    :param binding: the target.
    :param restore: database commands are sent by the user that restores.
    """

    facts: Callable[[str], HookFacts]
    binding: AppBinding
    restore: bool
    credentials: Credentials

    def once(self, hook: Hook) -> str:
        """Run a hook once; return in words what happened."""
        facts, seconds = self.facts(hook.name), hook.timeout.total_seconds()
        if hook.http is not None:
            return http.send(hook.http, facts=facts, credentials=self.credentials, timeout_seconds=seconds)
        if hook.command is not None:
            return command.execute(hook.command, facts=facts, credentials=self.credentials, timeout_seconds=seconds)
        if hook.mongo is not None:
            return database.command(
                hook.mongo,
                binding=self.binding,
                restore=self.restore,
                credentials=self.credentials,
                timeout_seconds=seconds,
            )
        raise PermanentError(f"hook {hook.name} does nothing")

    def tried(self, hook: Hook) -> HookResult:
        """Run a hook until it works or its tries are over; errors are in the result.

        :raises InterruptedByRequestError: the run is being ended.
        """
        began, reason, number = time.monotonic(), "", 0
        for number in range(1, hook.retries + 2):
            if number > 1:
                time.sleep(hook.retry_delay.total_seconds())
            try:
                words = self.once(hook)
            except InterruptedByRequestError:
                raise
            except MongoBackupError as error:
                reason = error.message
                logger.warning("Hook %s, try %d of %d: %s", hook.name, number, hook.retries + 1, reason)
            else:
                logger.info("Hook %s: %s", hook.name, words)
                return HookResult(hook=hook.name, ok=True, tries=number, seconds=_since(began))
        return HookResult(hook=hook.name, ok=False, tries=number, seconds=_since(began), reason=reason)


def run_before(run: HookRun, hooks: Iterable[Hook]) -> HooksResult:
    """Run hooks in their order.

    :raises PermanentError: one failed that is not to be ignored; those behind it were not run.
    """
    results: list[HookResult] = []
    for hook in hooks:
        result = run.tried(hook)
        results.append(result)
        if not result.ok and hook.on_error == "fail":
            raise PermanentError(f"hook {hook.name} failed, and nothing was begun: {result.reason}")
    return HooksResult(ran=tuple(results))


def run_after(run: HookRun, hooks: Iterable[Hook]) -> HooksResult:
    """Run all hooks in their order.

    :raises PermanentError: one or more failed that are not to be ignored; all were run.
    """
    results = [(hook, run.tried(hook)) for hook in hooks]
    failed = [result for hook, result in results if not result.ok and hook.on_error == "fail"]
    if failed:
        raise PermanentError("; ".join(f"hook {each.hook} failed: {each.reason}" for each in failed))
    return HooksResult(ran=tuple(result for _, result in results))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
