"""The runner `local`: the agent as a process of the worker, in a session of its own, ended as a group.

task process -> guard (`guard.py`) -> agent. The task holds the writing end of a pipe, the leash; the guard ends the
agent when it closes, however that happens. The agent inherits neither the task's standard output (Airflow's supervisor
would wait for it) nor Airflow's own settings and connections.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from mongo_backup.agent.contract import REQUEST_VARIABLE, Envelope
from mongo_backup.credentials import CREDENTIALS_VARIABLE
from mongo_backup.errors import ExitCode, InterruptedByRequestError
from mongo_backup_airflow.runners import slots
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.channels import memory_file, path_of, read_memory_file, secret_pipe
from mongo_backup_airflow.runners.relay import LogRelay

GUARD = Path(__file__).with_name("guard.py")
GRACE_SECONDS = 60.0
AGENT = (sys.executable, "-P", "-m", "mongo_backup", "agent")


class LocalRunner:
    """Runs one step as a child of this process.

    :param grace_seconds: what an agent that is asked to end has for its undo, before it is killed.
    :param agent: the agent's program and first arguments.
    """

    def __init__(self, *, grace_seconds: float = GRACE_SECONDS, agent: tuple[str, ...] = AGENT) -> None:
        self._grace_seconds = grace_seconds
        self._agent = agent
        self._leash = -1
        self._stopped = False

    def run(self, call: StepCall) -> Envelope:
        """Run the step. See `Runner`.

        :raises ConflictError: an older agent of the task (`alone`: of the run) does not end.
        :raises InterruptedByRequestError: `stop` was called before the agent was started.
        """
        with contextlib.ExitStack() as stack:
            patience = self._grace_seconds + 30
            slot = stack.enter_context(slots.claim(run=call.run, task=call.task, alone=call.alone, patience=patience))
            request, result = memory_file("request", call.request.model_dump_json()), memory_file("result")
            log, log_writer = os.pipe()
            leash, self._leash = os.pipe()
            for descriptor in (request, result, log):
                stack.callback(os.close, descriptor)
            stack.callback(self.stop)
            credentials = secret_pipe(call.credentials.get_secret_value())
            # The agent holds its slot itself too: should its guard be killed, it still has marks to undo.
            held = os.dup(slot.fileno())
            try:
                if self._stopped:
                    raise InterruptedByRequestError(f"{call.step} was stopped before its agent was started")
                guard = subprocess.Popen(
                    self._command(call.step, leash, log, passed=(request, result, credentials, held)),
                    stdin=subprocess.DEVNULL,
                    stdout=log_writer,
                    stderr=log_writer,
                    pass_fds=(leash, log, request, result, credentials, held, slot.fileno()),
                    start_new_session=True,
                    env=agent_environment(credentials),
                )
            finally:
                for descriptor in (leash, log_writer, credentials, held):
                    os.close(descriptor)
                slot.close()
            asked = self._follow(guard, log)
            return _envelope(call.step, guard.returncode, read_memory_file(result), asked=asked)

    def _follow(self, guard: subprocess.Popen[bytes], log: int) -> bool:
        """Show the agent's log until its end; return whether it was asked to end.

        A timeout or any other exception ends the agent first, shows what it says meanwhile, and only then goes on.
        """
        ended = os.pidfd_open(guard.pid)
        relay = LogRelay(log=log, ended=ended)
        try:
            relay.run()
            return self._stopped
        finally:
            self.stop()
            relay.run()
            os.close(ended)
            guard.wait()

    def stop(self) -> None:
        """Let go of the leash. See `Runner`."""
        self._stopped = True
        leash, self._leash = self._leash, -1
        if leash >= 0:
            os.close(leash)

    def _command(self, step: str, leash: int, log: int, *, passed: tuple[int, int, int, int]) -> list[str]:
        request, result, *_ = passed
        return [
            *(sys.executable, "-I", "-S", str(GUARD)),
            *(str(leash), str(log), str(self._grace_seconds), ",".join(str(each) for each in passed)),
            *(*self._agent, step, "--request", path_of(request), "--result", path_of(result)),
        ]


def agent_environment(credentials: int) -> dict[str, str]:
    """This process's environment without Airflow's settings and connections, which hold secrets."""
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    kept.pop(REQUEST_VARIABLE, None)
    return {**kept, CREDENTIALS_VARIABLE: path_of(credentials), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


def _envelope(step: str, code: int, text: str, *, asked: bool) -> Envelope:
    """Return the result document, or one that says why there is none."""
    try:
        found = Envelope.model_validate_json(text)
    except ValueError:
        found = None
    if found is not None and found.ok == (code == 0):
        return found
    if asked:  # before it could listen, or because it did not
        reason, kind = "the agent was asked to end, and ended", ExitCode.INTERRUPTED
    elif code < 0:  # the agent undoes its marks now and ends; another try waits for that (`slots`)
        name = signal.Signals(-code).name
        reason, kind = f"the agent's guard was ended by {name}, and the agent with it", ExitCode.TRANSIENT
    elif code > 128 and code != ExitCode.INTERRUPTED:
        name = signal.Signals(code - 128).name if code - 128 in set(signal.Signals) else f"signal {code - 128}"
        reason, kind = f"the agent was ended by {name}: by a person, or for want of memory", ExitCode.TRANSIENT
    else:
        reason = f"the agent ended with exit status {code} and without a valid result: see the log above"
        kind = ExitCode(code) if code in set(ExitCode) and code else ExitCode.UNEXPECTED
    return Envelope(step=step, ok=False, exit_code=kind, error_type="AgentDied", message=reason)
