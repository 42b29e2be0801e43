"""The REST API of an Airflow, as a person or a script uses it: trigger, watch, mark, clear, read logs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from mongo_backup.credentials import Credential
from mongo_backup.errors import PermanentError, TransientError
from sandbox.waiting import wait_until

ENDED = frozenset({"success", "failed"})
PARKING_SECONDS = 3.0
"""Airflow 3.3.2 fails a task that is answered within a second after it began to wait ("Executor reported success")."""
PAGE = 100
"""Airflow gives no more at a time."""
TASK_ENDED = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})


@dataclass(frozen=True)
class TaskRun:
    """One task instance, its latest try."""

    task: str
    map_index: int
    label: str | None
    """How the UI names a mapped one: `shard0`."""
    state: str | None
    tries: int
    start: str | None
    end: str | None
    seconds: float | None

    @property
    def name(self) -> str:
        """`dump[1]`."""
        return self.task if self.map_index < 0 else f"{self.task}[{self.map_index}]"


class AirflowClient:
    """A session of one user.

    :raises PermanentError: from every method: the API refused; the message has its answer.
    :raises TransientError: from those that wait: it took too long.
    """

    def __init__(self, *, url: str, username: str, password: str) -> None:
        self._login = {"username": username, "password": password}
        self._token: str | None = None
        # An Airflow on this machine: never through a proxy.
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send one request to `/api/v2/...` and return its JSON."""
        if self._token is None:
            self._token = str(self._answer(self._http.post("/auth/token", json=self._login))["access_token"])
        headers = {"Authorization": f"Bearer {self._token}", **options.pop("headers", {})}
        url = f"/api/v2/{path}"
        try:
            return self._answer(self._http.request(method, url, headers=headers, **options))
        except httpx.TransportError:
            if method != "GET":  # whether it was done is not known
                raise
            return self._answer(self._http.request(method, url, headers=headers, **options))

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        if response.is_error:
            raise PermanentError(
                f"{response.request.method} {response.request.url.path} was answered by "
                f"{response.status_code}: {response.text[:500]}"
            )
        return response.json() if response.content else None

    # Airflow itself

    def healthy(self) -> bool:
        """Whether all four components report to be well."""
        try:
            health = self.request("GET", "monitor/health")
        except (httpx.TransportError, PermanentError):
            return False
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def add_connection(self, name: str, credential: Credential) -> None:
        """Create a connection of type `generic`."""
        extra = {key: value.get_secret_value() for key, value in credential.extra.items()}
        body = {
            "connection_id": name,
            "conn_type": "generic",
            "login": credential.username,
            "password": credential.password_text(),
            "extra": json.dumps(extra) if extra else None,
        }
        self.request("POST", "connections", json=body)

    def import_errors(self) -> dict[str, str]:
        """Broken DAG files and why."""
        found = self.request("GET", "importErrors")["import_errors"]
        return {each["filename"]: each["stack_trace"] for each in found}

    # DAGs

    def dags(self) -> dict[str, dict[str, Any]]:
        """All DAGs that are there, by id."""
        return {dag["dag_id"]: dag for dag in self._all("dags", "dags")}

    def wait_for_dag(self, dag: str, *, timeout: float = 60) -> None:
        """Wait until a DAG is there."""
        wait_until(lambda: dag in self.dags(), what=f"Airflow knows the DAG {dag}", timeout=timeout, interval=0.3)

    def pause(self, dag: str, paused: bool = True) -> None:
        """Pause a DAG or let it go on."""
        self.request("PATCH", f"dags/{dag}", json={"is_paused": paused})

    # Runs

    def trigger(
        self,
        dag: str,
        conf: Mapping[str, Any] | None = None,
        *,
        run: str | None = None,
        logical_date: datetime | None = None,
    ) -> str:
        """Trigger a DAG that is not paused; return the run's id.

        :param logical_date: the time that it is for; a run of no time has no deadline.
        """
        body = {
            "logical_date": logical_date.isoformat() if logical_date else None,
            "conf": dict(conf or {}),
            **({"dag_run_id": run} if run else {}),
        }
        return str(self.request("POST", f"dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def _run(self, dag: str, run: str) -> str:
        return f"dags/{dag}/dagRuns/{quote(run, safe='')}"

    def run_state(self, dag: str, run: str) -> str:
        """State of a run."""
        return str(self.request("GET", self._run(dag, run))["state"])

    def wait(self, dag: str, run: str, *, timeout: float = 300) -> str:
        """Wait for the end of a run and of all its tasks; return its state.

        A run that somebody marks failed has that state at once, while its teardowns still work.
        """
        deadline = time.monotonic() + timeout
        while True:
            state, tasks = self.run_state(dag, run), self.tasks(dag, run)
            if state in ENDED and all(task.state in TASK_ENDED for task in tasks):
                return state
            if time.monotonic() > deadline:
                shown = ", ".join(f"{task.name} {task.state}" for task in tasks)
                raise TransientError(f"{dag} {run} is still {state} after {timeout:.0f} s: {shown}")
            time.sleep(0.3)

    def mark_run(self, dag: str, run: str, state: str) -> None:
        """Mark a run `failed` or `success`."""
        self.request("PATCH", self._run(dag, run), json={"state": state})

    def clear_run(self, dag: str, run: str) -> None:
        """Clear a whole run: everything again."""
        self.request("POST", f"{self._run(dag, run)}/clear", json={"dry_run": False})

    def _all(self, path: str, key: str) -> list[dict[str, Any]]:
        """All entries of a listing, page by page (`[api] maximum_page_limit` is 100)."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.request("GET", path, params={"limit": PAGE, "offset": len(found)})
            found += page[key]
            if not page[key] or len(found) >= page["total_entries"]:
                return found

    # Tasks

    def tasks(self, dag: str, run: str) -> list[TaskRun]:
        """The run's task instances, as they were started."""
        found = self._all(f"{self._run(dag, run)}/taskInstances", "task_instances")
        instances = [
            TaskRun(
                task=each["task_id"],
                map_index=each["map_index"],
                label=each.get("rendered_map_index"),
                state=each["state"],
                tries=each["try_number"],
                start=each["start_date"],
                end=each["end_date"],
                seconds=each["duration"],
            )
            for each in found
        ]
        return sorted(instances, key=lambda task: (task.start or "9", task.task, task.map_index))

    def task(self, dag: str, run: str, name: str) -> TaskRun | None:
        """One task instance, `dump[1]`, if it is there yet."""
        return next((task for task in self.tasks(dag, run) if task.name == name), None)

    def states(self, dag: str, run: str) -> dict[str, str | None]:
        """States by name."""
        return {task.name: task.state for task in self.tasks(dag, run)}

    def wait_task(self, dag: str, run: str, name: str, *states: str, timeout: float = 120) -> TaskRun:
        """Wait until a task instance is in one of these states."""

        def look() -> TaskRun | None:
            task = self.task(dag, run, name)
            return task if task is not None and task.state in states else None

        what = f"{name} of {dag} is {' or '.join(states)}"
        return wait_until(look, what=what, timeout=timeout, interval=0.2)

    def _task(self, dag: str, run: str, name: str) -> tuple[str, str, int]:
        task, _, index = name.partition("[")
        return f"{self._run(dag, run)}/taskInstances/{task}", task, int(index.rstrip("]")) if index else -1

    def mark_task(self, dag: str, run: str, name: str, state: str) -> None:
        """Mark one task instance `failed` or `success`."""
        path, _, index = self._task(dag, run, name)
        path += f"/{index}" if index >= 0 else ""
        self.request("PATCH", path, json={"new_state": state})

    def clear_tasks(self, dag: str, run: str, *names: str, downstream: bool = True) -> list[str]:
        """Clear task instances, with all that follows from them; return what was cleared."""
        ids: list[Any] = []
        for name in names:
            _, task, index = self._task(dag, run, name)
            ids.append([task, index] if index >= 0 else task)
        body = {
            "dry_run": False,
            "dag_run_id": run,
            "task_ids": ids,
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": downstream,
        }
        found = self.request("POST", f"dags/{dag}/clearTaskInstances", json=body)["task_instances"]
        return sorted({each["task_id"] for each in found})

    def log(self, dag: str, run: str, name: str, *, tries: int | None = None) -> str:
        """The log of one try (the latest if None), as text."""
        path, _, index = self._task(dag, run, name)
        if tries is None:
            found = self.task(dag, run, name)
            tries = max(found.tries, 1) if found else 1
        answer = self.request("GET", f"{path}/logs/{tries}", params={"map_index": index, "full_content": True})
        content = answer["content"]
        return content if isinstance(content, str) else "\n".join(_line(entry) for entry in content)

    def result(self, dag: str, run: str, name: str, *, key: str = "return_value") -> Any:
        """What a task returned."""
        path, _, index = self._task(dag, run, name)
        found = self.request("GET", f"{path}/xcomEntries/{key}", params={"map_index": index, "deserialize": True})
        return found["value"]

    def answer(self, dag: str, run: str, task: str, option: str) -> None:
        """Answer a task that waits for a person, once it waits, and not quicker than a person would."""
        self.wait_task(dag, run, task, "awaiting_input", timeout=300)
        time.sleep(PARKING_SECONDS)
        path = f"{self._run(dag, run)}/taskInstances/{task}/-1/hitlDetails"
        self.request("PATCH", path, json={"chosen_options": [option], "params_input": {}})


def _line(entry: Any) -> str:
    """One event of a structured log: its text, and an error's message if it has one."""
    if not isinstance(entry, dict):
        return str(entry)
    errors = [f"{e.get('exc_type')}: {e.get('exc_value')}" for e in entry.get("error_detail") or []]
    return " ".join([str(entry.get("event", "")), *errors])
