"""What the demo shows: tasks with their times, the snapshot, the comparison. Tables for a person at a terminal."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from mongo_backup.agent.restore_contract import VerifyResult
from mongo_backup.manifest.model import Manifest
from sandbox.airflow_client import TaskRun

console = Console(width=120, highlight=False)


def say(text: str) -> None:
    """Print what happens now, with the time."""
    console.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/dim] {text}")


def quote(text: str) -> None:
    """Print what somebody else said, as it is."""
    console.print(text, markup=False)


def show_tasks(title: str, tasks: list[TaskRun]) -> None:
    """Print the tasks of a DAG run in the order in which they started."""
    table = Table(title=title, title_justify="left")
    for column in ("task", "component", "state", "started after", "took"):
        table.add_column(column, justify="right" if column in ("started after", "took") else "left")
    starts = [_time(task.start) for task in tasks if task.start]
    for task in tasks:
        after = f"{(_time(task.start) - min(starts)).total_seconds():.1f} s" if task.start else ""
        took = f"{task.seconds:.1f} s" if task.seconds is not None else ""
        table.add_row(task.task, task.label or "", task.state or "", after, took)
    console.print(table)
    ends = [_time(task.end) for task in tasks if task.end]
    if starts and ends:
        wall = (max(ends) - min(starts)).total_seconds()
        console.print(f"The run took {wall:.1f} s from its first task to the end of its last.")


def _time(text: str | None) -> datetime:
    return datetime.fromisoformat((text or "").replace("Z", "+00:00"))


def show_manifest(manifest: Manifest) -> None:
    """Print what a set is."""
    point = manifest.cluster_time
    at = f"{datetime.fromtimestamp(point.t, UTC):%Y-%m-%d %H:%M:%S} UTC ({point})" if point else "none"
    console.print(f"[bold]Set {manifest.set_id}[/bold]: {manifest.consistency}, cluster time {at}")
    if manifest.lock_skew_seconds is not None:
        console.print(f"All members were locked within {manifest.lock_skew_seconds:.3f} s.")
    table = Table()
    for column in ("component", "member", "mode", "documents", "MB", "MB new", "read", "locked"):
        table.add_column(column, justify="left" if column in ("component", "member", "mode") else "right")
    for each in manifest.components:
        locked = "" if each.locked_seconds is None else f"{each.locked_seconds:.1f} s"
        table.add_row(
            *(each.name, f"{each.member.host} ({each.member.state})", each.member.mode, str(each.documents)),
            *(f"{each.bytes / 1e6:.1f}", f"{each.bytes_added / 1e6:.1f}", f"{each.read_seconds:.1f} s", locked),
        )
    console.print(table)


def show_verified(result: VerifyResult) -> None:
    """Print the comparison of the restored cluster with the manifest."""
    console.print(
        f"[bold]Compared with the manifest[/bold]: {result.namespaces} namespaces, {result.documents} documents, "
        f"{result.digests} digests and {result.uuids} UUIDs of sharded collections: all equal."
    )
