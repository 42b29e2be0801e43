"""Logging of the command line and the agent: plain lines on standard error, secrets blotted out as the last net.

One line per message, `2026-01-31T02:00:07Z INFO    locked shard0 at db1:27018`; a traceback follows on lines of its
own. Colour only where standard error is a terminal. The level comes from `MONGO_BACKUP_LOG_LEVEL` (default INFO).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from mongo_backup.credentials import Credentials

LEVEL_VARIABLE = "MONGO_BACKUP_LOG_LEVEL"

_BLOT = "***"
_SHORTEST_SECRET = 4
"""A shorter value stands in too many innocent words to be blotted out."""
_COLOURS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31;1"}
_QUIET = ("pymongo", "urllib3", "asyncio")
"""Libraries that tell too much at INFO and below, and may quote commands at DEBUG."""

_secrets: set[str] = set()


def hide(values: Iterable[str | None]) -> None:
    """Add values that must never be shown: from now on `redact` and every log line blot them out.

    The forms in which a value may turn up elsewhere are hidden too: percent-encoded as in a URI, escaped as in JSON.
    """
    for value in values:
        for text in (value, *(value or "").splitlines()):
            if text and len(text) >= _SHORTEST_SECRET:
                _secrets.update((text, quote(text, safe=""), quote_plus(text), json.dumps(text)[1:-1]))


def hide_credentials(credentials: Credentials) -> None:
    """Add all values of the credentials (not the user names, which errors must name)."""
    for credential in credentials.values.values():
        hide([credential.password_text(), *map(credential.secret, credential.extra)])


def redact(text: str) -> str:
    """Return the text without the values given to `hide`."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, _BLOT)
    return text


class PlainFormatter(logging.Formatter):
    """One line per message, in UTC, redacted after everything is put together.

    :param colours: paint warnings and errors.
    """

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime
        self._colours = colours

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Keep the message on one line."""
        line = " ".join(super().formatMessage(record).splitlines())
        colour = _COLOURS.get(record.levelno) if self._colours else None
        return f"\033[{colour}m{line}\033[0m" if colour else line

    def format(self, record: logging.LogRecord) -> str:
        """Format, then blot out secrets, also in a traceback."""
        return redact(super().format(record))


def set_up(*, level: str | None = None, secrets: Iterable[str | None] = (), stream: TextIO | None = None) -> None:
    """Send all logging to standard error (or `stream`). May be called again: the last call holds.

    :param level: a level's name; else the environment's, else INFO. An unknown name counts as INFO.
    :param secrets: values to hide.
    """
    hide(secrets)
    target = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(PlainFormatter(colours=target.isatty() and "NO_COLOR" not in os.environ))
    name = (level or os.environ.get(LEVEL_VARIABLE) or "INFO").upper()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.getLevelNamesMapping().get(name, logging.INFO))
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
