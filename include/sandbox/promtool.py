"""Prometheus' own checker (`promtool`, Debian package `prometheus`)."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mongo_backup.errors import PreconditionError, VerificationError

TIMEOUT_SECONDS = 120


def promtool(*arguments: str | Path, text: str | None = None) -> str:
    """Run it; return what it says.

    :param text: its standard input.
    :raises PreconditionError: it is not installed.
    :raises VerificationError: it finds something wrong.
    """
    binary = shutil.which("promtool")
    if binary is None:
        raise PreconditionError("no promtool here: install it (Debian: apt-get install prometheus)")
    ended = subprocess.run(
        [binary, *map(str, arguments)], input=text, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    said = f"{ended.stdout}{ended.stderr}"
    if ended.returncode != 0:
        raise VerificationError(f"promtool {arguments[0]} {arguments[1]} says: {said}")
    return said
