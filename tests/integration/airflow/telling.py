"""What a run told of itself: to its hooks, to a chat, by mail, to the Pushgateway."""

from __future__ import annotations

import json
from email.message import EmailMessage
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.integration.airflow.stage import PATIENCE, Stage

from sandbox.waiting import wait_until


def _told(stage: Stage, path: str, run: str) -> list[dict[str, Any]]:
    """The documents of a run that came to a path."""
    assert stage.listener is not None
    documents = [json.loads(each.body) for each in stage.listener.seen if each.path == path]
    return [each for each in documents if each["run"] == run]


def hooks_of(stage: Stage, run: str) -> list[tuple[str, str, Any]]:
    """The hooks that a run called, in their order: name, outcome, whether a set was complete."""
    return [(each["hook"], each["outcome"], each["complete"]) for each in _told(stage, "/hook", run)]


def reason_of(stage: Stage, run: str) -> str:
    """What the hooks after a run were told; all the same."""
    (reason,) = {each["reason"] for each in _told(stage, "/hook", run) if each["when"] == "after"}
    return str(reason)


def events_of(stage: Stage, run: str, *expected: str) -> dict[str, dict[str, Any]]:
    """Wait until these events of a run were told to the chat, and no others."""

    def there() -> list[dict[str, Any]]:
        found = _told(stage, "/chat", run)
        return found if {each["event"] for each in found} >= set(expected) else []

    found = wait_until(there, what=f"{expected} of {run} are told", timeout=PATIENCE, interval=0.5)
    assert sorted(each["event"] for each in found) == sorted(expected)
    return {each["event"]: each for each in found}


def mails_of(stage: Stage, dag: str, *, count: int) -> dict[str, EmailMessage]:
    """Wait until so many mails of a DAG have come; by what they say of it."""
    assert stage.mailbox is not None
    mails, start = stage.mailbox.mails, f"[mongo-backup] {dag} "

    def there() -> dict[str, EmailMessage]:
        found = {each["Subject"].removeprefix(start): each for each in mails if each["Subject"].startswith(start)}
        return found if len(found) >= count else {}

    return wait_until(there, what=f"{count} mails of {dag} are there", timeout=PATIENCE, interval=0.5)


def metrics_of(stage: Stage, configuration: str, job: str = "mongo_backup", **labels: str) -> dict[str, float]:
    """What the Pushgateway has of a group, by name, with `step` or the like behind a colon."""
    assert stage.pushgateway is not None
    own = {"job": job, "configuration": configuration, **labels}
    return {
        ":".join(
            [sample.name, *(sample.labels[name] for name in ("step", "component", "kind") if name in sample.labels)]
        ): sample.value
        for family in text_string_to_metric_families(stage.pushgateway.metrics())
        for sample in family.samples
        if own.items() <= sample.labels.items()
    }
