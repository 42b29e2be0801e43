"""The official mongorestore: an archive goes in, and each document that it could not write is a failure.

mongorestore ends with status 0 although documents failed; only its last line tells
(`mongorestore/main`, MongoDB Database Tools 100.18: "N document(s) restored successfully. M document(s) failed").
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mongo_backup.archive.writer import Write
from mongo_backup.engines import tools
from mongo_backup.errors import PermanentError, TransientError
from mongo_backup.namespaces import ACCOUNTS, NEVER_RESTORED
from mongo_backup.processes import GuardedProcess, redact

logger = logging.getLogger(__name__)

TOOL = "mongorestore"
_TALLY = re.compile(r"(\d+) document\(s\) restored successfully\. (\d+) document\(s\) failed to restore")
_CONTINUED = re.compile(r"continuing through error: (.*)")


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What mongorestore says that it wrote."""

    documents: int


def restore(
    feed: Callable[[Write], None],
    *,
    hosts: Iterable[str],
    connection: Mapping[str, Any],
    accounts: bool = False,
    arguments: tuple[str, ...] = (),
) -> Tally:
    """Restore an archive with mongorestore.

    :param feed: writes the archive, piece by piece; what it raises ends mongorestore and is raised.
    :param hosts: of one replica set, whose name is `connection["replicaSet"]`; or one server.
    :param connection: the driver's options, with the password.
    :param accounts: restore users and roles too.
    :param arguments: further ones, such as `--drop`, `--nsInclude=shop.*`.
    :raises PermanentError: documents failed, or mongorestore did.
    :raises TransientError: mongorestore lost the server or was killed.
    """
    known, secrets = list(hosts), tools.secrets_of(connection)
    program, further = tools.find_tool(TOOL), tools.checked_arguments(arguments)
    with tools.configuration_file(known, connection, direct="replicaSet" not in connection) as file:
        command = [program, f"--config={file}", "--archive", *_left_out(accounts), *further]
        try:
            process = GuardedProcess(
                command,
                environment=tools.environment(),
                feed=True,
                on_error_line=lambda line: logger.info("%s: %s", TOOL, redact(line, secrets)),
            )
        except OSError as error:
            raise TransientError(f"{TOOL} cannot be started: {error.strerror}") from error
        with process.stdout:
            status = _feed(process, feed)
    if status:
        raise tools.tool_failure(TOOL, host=known[0], status=status, words=process.errors.text, secrets=secrets)
    return _tally(redact(process.errors.text, secrets), known[0])


def _left_out(accounts: bool) -> list[str]:
    names = NEVER_RESTORED if accounts else NEVER_RESTORED | ACCOUNTS
    return [f"--nsExclude={db}.{collection}" for db, collection in sorted(names)]


def _feed(process: GuardedProcess, feed: Callable[[Write], None]) -> int:
    def write(piece: bytes | memoryview) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(process.stdin, rest) :]

    try:
        # A broken pipe: mongorestore has ended before the archive; its status says why.
        with contextlib.suppress(BrokenPipeError):
            feed(write)
            process.commit()
        return process.wait(None)
    finally:
        process.end()


def _tally(words: str, host: str) -> Tally:
    found = _TALLY.findall(words)
    if not found:
        raise PermanentError(f"{TOOL} on {host} did not say how many documents it restored")
    restored, failed = map(int, found[-1])
    reasons = _CONTINUED.findall(words)
    if failed or reasons:
        raise PermanentError(
            f"{TOOL} could not restore {failed or len(reasons)} documents on {host}: {'; '.join(reasons[:3])[:600]}"
        )
    return Tally(documents=restored)
