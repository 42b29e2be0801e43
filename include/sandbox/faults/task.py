"""One step in a process that may be killed, as a task of Airflow is: reads a call, writes the envelope. A script."""

from __future__ import annotations

import json
import signal
import sys

from pydantic import SecretStr

from mongo_backup.agent.registry import find_step
from mongo_backup_airflow.runners.base import StepCall
from mongo_backup_airflow.runners.local import LocalRunner
from sandbox.faults.launch import DETOUR, GRACE_SECONDS


def main() -> None:
    """Run the call on standard input; SIGTERM asks the agent to end."""
    call = json.load(sys.stdin)
    runner = LocalRunner(grace_seconds=GRACE_SECONDS, agent=DETOUR)
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    envelope = runner.run(
        StepCall(
            step=call["step"],
            request=find_step(call["step"]).request_type().model_validate_json(call["request"]),
            credentials=SecretStr(call["credentials"]),
            run=call["run"],
            task=call["task"],
            alone=call["alone"],
        )
    )
    sys.stdout.write(envelope.model_dump_json())


if __name__ == "__main__":
    main()
