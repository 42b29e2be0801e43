"""The end of the demo: a set is verified, the repository looked after, and told what is kept and pushed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from mongo_backup.agent.maintain_contract import CheckResult, PruneResult
from mongo_backup.agent.verify_contract import VerificationResult
from mongo_backup.errors import VerificationError
from sandbox import objects
from sandbox.report import quote, say, show_tasks
from sandbox.stack import CONFIGURATION, Stack

VERIFY_DAG, MAINTAIN_DAG = f"verify.{CONFIGURATION}", f"maintain.{CONFIGURATION}"
POLICY = objects.retention_policy(last=1)
"""One set stays: the demo makes two, so that one is seen to go."""
TOLD = (
    "mongo_backup_last_attempt_success",
    "mongo_backup_restore_last_attempt_success",
    "mongo_backup_last_success_timestamp_seconds",
    "mongo_backup_set_documents",
    "mongo_backup_set_added_bytes",
    "mongo_backup_verify_last_attempt_success",
    "mongo_backup_maintain_last_attempt_success",
)


def run_dag(stack: Stack, dag: str, conf: dict[str, Any] | None = None, *, seconds: float) -> str:
    """Trigger a DAG, wait for its end, show it; the run's id.

    :raises VerificationError: it did not succeed; the message has the logs of what failed.
    """
    client = stack.live.client
    client.wait_for_dag(dag)
    run = client.trigger(dag, conf)
    say(f"Triggered {dag}")
    state = client.wait(dag, run, timeout=seconds)
    tasks = client.tasks(dag, run)
    show_tasks(f"{dag} {run}: {state}", tasks)
    if state != "success":
        failed = [task.name for task in tasks if task.state == "failed"]
        logs = "\n".join(f"--- {name}\n{client.log(dag, run, name)[-3000:]}" for name in failed)
        raise VerificationError(f"{dag} {run} is {state}:\n{logs}")
    return run


def verify(stack: Stack, set_id: str, *, seconds: float) -> None:
    """Restore the newest set into a throw-away server, by DAG.

    :raises VerificationError: it is not the set that it should be.
    """
    run = run_dag(stack, VERIFY_DAG, seconds=seconds)
    found = VerificationResult.model_validate(stack.live.client.result(VERIFY_DAG, run, "restore_and_compare"))
    if found.set_id != set_id:
        raise VerificationError(f"{VERIFY_DAG} verified {found.set_id}: {set_id} is the newest")
    say(
        f"Set {found.set_id} was restored into a throw-away MongoDB {found.server_version} and compared: "
        f"{found.documents} documents, {found.digests} digests, {found.indexes} indexes are equal"
    )


def maintain(stack: Stack, *, seconds: float) -> None:
    """Check the repository and prune it, by DAG."""
    run = run_dag(stack, MAINTAIN_DAG, seconds=seconds)
    client = stack.live.client
    checked = CheckResult.model_validate(client.result(MAINTAIN_DAG, run, "check"))
    pruned = PruneResult.model_validate(client.result(MAINTAIN_DAG, run, "prune"))
    say(
        f"Nothing in the repository is damaged (part {checked.part} of {checked.parts} was read); it holds "
        f"{pruned.sets} set in {pruned.stored_bytes / 1e6:.1f} MB, {pruned.freed_bytes / 1e6:.1f} MB were freed"
    )


def show_sets(stack: Stack) -> None:
    """Print what `mongo-backup snapshots list` and `retention plan` say."""
    credentials = stack.folder / "credentials.json"  # goes with the folder
    credentials.touch(mode=0o600)
    credentials.write_text(objects.credentials_document(stack.credentials), "utf-8")
    for command in (("snapshots", "list"), ("retention", "plan")):
        arguments = [*command, CONFIGURATION, "--objects", str(stack.folder), "--credentials", str(credentials)]
        quote(f"$ mongo-backup {' '.join(command)} {CONFIGURATION}")
        done = subprocess.run(
            [sys.executable, "-m", "mongo_backup", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise VerificationError(f"mongo-backup {' '.join(command)} failed: {done.stderr[-2000:]}")
        quote(done.stdout)


def show_metrics(stack: Stack, *, verified: bool) -> None:
    """Print some of what the Pushgateway has, and see that every run is told as good.

    :param verified: there was a verification.

    :raises VerificationError: something is not there, or says that it failed.
    """
    if stack.pushgateway is None:
        raise VerificationError("the demo has no Pushgateway")
    lines = [line for line in stack.pushgateway.metrics().splitlines() if line.startswith(TOLD)]
    quote("\n".join(lines))
    for name in (each for each in TOLD if each.endswith("_success") and (verified or "verify" not in each)):
        if not any(line.startswith(name + "{") and line.endswith(" 1") for line in lines):
            raise VerificationError(f"the Pushgateway has no {name} that is 1")
