"""Passes the agent's log on to the task's log while it is written."""

from __future__ import annotations

import logging
import os
import re
import select

agent_log = logging.getLogger("mongo_backup.agent")

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(.*)")
"""What `mongo_backup.logs` writes. The task's log has times of its own."""


class LogRelay:
    """Reads one pipe to its end, line by line, with the levels that the lines name.

    :param log: reading end of the pipe that the agent writes to.
    :param ended: a descriptor that becomes readable when nobody of interest writes any more (pidfd_open(2)). The
        pipe's own end is not enough: a stray grandchild could hold it open for ever.
    """

    def __init__(self, *, log: int, ended: int) -> None:
        self._log = log
        self._ended = ended
        self._rest = b""

    def run(self) -> None:
        """Pass lines on until the end. May be called again after an exception: nothing read is lost."""
        while True:
            ready, _, _ = select.select([self._log, self._ended], [], [])
            if self._log not in ready or not (data := os.read(self._log, 65536)):
                break
            self._rest += data
            while (end := self._rest.find(b"\n")) >= 0:
                line, self._rest = self._rest[:end], self._rest[end + 1 :]
                say(line)
        if self._rest:
            line, self._rest = self._rest, b""
            say(line)


def say(line: bytes) -> None:
    """Write one line of an agent's log into the task's, with its level."""
    text = line.decode("utf-8", errors="replace")
    match = LOG_LINE.match(text)
    if match:
        agent_log.log(logging.getLevelNamesMapping()[match[1]], "%s", match[2])
    else:
        agent_log.info("%s", text)
