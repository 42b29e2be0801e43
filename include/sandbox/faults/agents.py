"""Finding the processes of steps: agents, the guards above them, and the restic below."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import psutil


def is_agent(process: psutil.Process, step: str) -> bool:
    """Whether the process is the agent of a step, such as `backup.dump`, and not its guard."""
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return False
    return "agent" in arguments and step in arguments and "guard.py" not in " ".join(arguments)


def request_of(agent: psutil.Process) -> dict[str, Any]:
    """What an agent was asked to do, by the file in memory that its runner gave it."""
    arguments = agent.cmdline()
    descriptor = Path(arguments[arguments.index("--request") + 1]).name
    request: dict[str, Any] = json.loads(Path(f"/proc/{agent.pid}/fd/{descriptor}").read_text())
    return request


def alive(process: psutil.Process) -> bool:
    """Whether it still runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def agents_below(pid: int, step: str, component: str | None = None) -> list[psutil.Process]:
    """The agents of a step that descend from a process; of one component, if it is named."""
    found = [each for each in psutil.Process(pid).children(recursive=True) if is_agent(each, step)]
    if component is None:
        return found
    return [each for each in found if request_of(each).get("component") == component]


def restics_below(agent: psutil.Process) -> list[psutil.Process]:
    """The restic processes that an agent has started and that run."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [each for each in agent.children(recursive=True) if each.name() == "restic" and alive(each)]
    return []
