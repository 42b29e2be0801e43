"""`mongo-backup agent STEP`: one step of a DAG, as a pod or a worker's process runs it."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer


def agent(
    step: Annotated[str, typer.Argument(help="The step, such as backup.dump or restore.plan_restore.")],
    request: Annotated[
        str | None, typer.Option(help="File with the request (JSON); else MONGO_BACKUP_REQUEST.")
    ] = None,
    result: Annotated[str | None, typer.Option(help="File for the result (JSON); else standard output.")] = None,
) -> None:
    """Run one step of a backup or restore: what the DAGs call. People rarely need it."""
    from mongo_backup.agent.main import run_step

    code = int(run_step(step=step, request_file=request, result_file=result))
    # A thread that waits for a server which never answers must not hold up the end.
    sys.stdout.flush()
    logging.shutdown()
    os._exit(code)
