"""A hook that is a program."""

from __future__ import annotations

import logging
import os
import signal

from mongo_backup.credentials import Credential, Credentials
from mongo_backup.errors import PermanentError, TransientError
from mongo_backup.hooks.facts import HookFacts
from mongo_backup.logs import redact
from mongo_backup.objects.hooks import CommandHook
from mongo_backup.processes import run

logger = logging.getLogger(__name__)

PREFIX = "MONGO_BACKUP_HOOK_"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""Of the agent's environment; the rest is not the program's business."""
_LINES = 200
"""The last lines of the output that are logged."""


def execute(hook: CommandHook, *, facts: HookFacts, credentials: Credentials, timeout_seconds: float) -> str:
    """Run the program to its end and log what it says; return in words how it ended.

    :raises TransientError: it cannot be started, or did not end in time.
    :raises PermanentError: it ended with another exit status than 0.
    """
    ended = run(hook.args, environment=environment(hook, facts=facts, credentials=credentials), timeout=timeout_seconds)
    for name, text in (("stdout", ended.stdout), ("stderr", ended.stderr)):
        for line in text.splitlines()[-_LINES:]:
            logger.info("%s %s: %s", hook.args[0], name, redact(line))
    if ended.timed_out:
        raise TransientError(f"{hook.args[0]} did not end within {timeout_seconds:.0f} s, and was ended")
    if ended.status != 0:
        raise PermanentError(f"{hook.args[0]} {_status(ended.status)}")
    return f"{hook.args[0]} ended after {ended.seconds:.1f} s"


def environment(hook: CommandHook, *, facts: HookFacts, credentials: Credentials) -> dict[str, str]:
    """All that the program gets to know."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    told = {f"{PREFIX}{name.upper()}": text for name, text in facts.texts().items()}
    if hook.credentials is not None:
        found = credentials.get(hook.credentials) or Credential()
        told[f"{PREFIX}USERNAME"] = found.username or ""
        told[f"{PREFIX}PASSWORD"] = found.password_text() or ""
    return {**kept, **told}


def _status(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit status {status}"
