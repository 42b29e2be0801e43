"""One step at the moment of its disturbance: who is at work, on which server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from mongo_backup.errors import TransientError
from sandbox.faults.agents import agents_below, alive, is_agent, restics_below
from sandbox.faults.launch import Launcher
from sandbox.faults.proxy import Proxy, Tap
from sandbox.faults.stage import Stage
from sandbox.mongod import Mongod
from sandbox.waiting import wait_until


@dataclass
class Scene:
    """What a fault acts on.

    :param step: its full name.
    :param tap: reached.
    """

    stage: Stage
    step: str
    tap: Tap
    launcher: Launcher
    undo: list[Callable[[], None]] = field(default_factory=list)
    """What heals it, the last first."""
    names: list[str] = field(default_factory=list)
    """Words of which a red run has to say one: addresses of what was hit."""

    # Processes

    def holder(self) -> psutil.Process:
        """The process whose connection is held: an agent or a restic."""
        for agent in agents_below(os.getpid(), self.step):
            for process in (agent, *restics_below(agent)):
                ports = [each.laddr.port for each in process.net_connections("tcp") if each.laddr]
                if self.tap.port in ports:
                    return process
        raise TransientError(f"nobody of {self.step} holds the connection from port {self.tap.port}")

    def agent(self) -> psutil.Process:
        """The agent."""
        holder = self.holder()
        return next(each for each in (holder, *holder.parents()) if is_agent(each, self.step))

    def restic(self) -> psutil.Process:
        """The restic that it works with."""
        holder = self.holder()
        if holder.name() == "restic":
            return holder
        return wait_until(lambda: next(iter(restics_below(holder)), None), what=f"{self.step} has started restic")

    def signal(self, process: psutil.Process, number: signal.Signals) -> None:
        """Send a signal; wait for the end where that is sure."""
        process.send_signal(number)
        if number == signal.SIGKILL:
            wait_until(lambda: not alive(process), what=f"process {process.pid} has ended", timeout=20)
        if number == signal.SIGSTOP:
            self.undo.append(lambda: _go_on(process))

    # Servers

    def host(self) -> str:
        """The member at which the step was held."""
        return self.tap.at

    def mongod(self, host: str | None = None) -> Mongod:
        """That member's server."""
        host = host or self.host()
        return self.stage.cluster.component_of(host).mongod(host)

    def primary(self) -> str:
        """The primary of the set of that member."""
        return self.stage.cluster.component_of(self.host()).primary()

    def proxy(self) -> Proxy:
        """The path that is held."""
        return next(each for each in self.stage.proxies if each.name == self.tap.at)

    def heal(self) -> None:
        """Undo the fault. May be called again."""
        while self.undo:
            self.undo.pop()()


def _go_on(process: psutil.Process) -> None:
    if alive(process):
        process.send_signal(signal.SIGCONT)
