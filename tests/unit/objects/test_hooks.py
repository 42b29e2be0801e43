"""What a hook may say, and what it may not."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mongo_backup.hooks.facts import HookFacts
from mongo_backup.objects.hooks import FACTS, Hook, Hooks, longest

PING = {"name": "ping", "http": {"url": "https://chat.example/hook"}}


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ({"name": "none"}, "one of `http`, `command` and `mongo`"),
        ({**PING, "command": {"args": ["true"]}}, "one of `http`, `command` and `mongo`"),
        ({**PING, "timeout": "0s"}, "timeout of 0"),
        ({"name": "a", "http": {}}, "either `url` or `url_from`"),
        ({"name": "a", "http": {"url": "file:///etc/passwd"}}, "is no address"),
        ({"name": "a", "http": {"url": "http://a", "headers": {"Authorization": "x"}}}, "`secret_headers`"),
        ({"name": "a", "http": {"url": "http://a", "headers": {"PRIVATE-TOKEN": "x"}}}, "`secret_headers`"),
        ({"name": "a", "http": {"url": "http://a", "headers": {"Api-Key": "x"}}}, "`secret_headers`"),
        ({"name": "a", "http": {"url": "http://a", "method": "GET", "body": "x"}}, "has no body"),
        ({"name": "a", "http": {"url": "http://a", "body": "${password}"}}, "no fact 'password'"),
        ({"name": "a", "http": {"url": "http://a", "body": "costs 5 $"}}, "write `$$`"),
        ({"name": "a", "command": {"args": []}}, "at least 1 item"),
        ({"name": "a", "mongo": {"command": {}}}, "at least 1 item"),
    ],
)
def test_refused(hook: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)):
        Hook.model_validate(hook)


def test_two_of_a_name() -> None:
    with pytest.raises(ValidationError, match="two hooks are named ping"):
        Hooks.model_validate({"after": [PING, PING]})
    assert Hooks.model_validate({"before": [PING], "after": [PING]}).after[0].when == "always"


def test_how_long_they_may_take() -> None:
    hook = Hook.model_validate({**PING, "timeout": "20s", "retries": 2, "retry_delay": "5s"})
    assert hook.longest == timedelta(seconds=70)
    assert longest((hook, hook)) == timedelta(seconds=140, minutes=5)


def test_every_fact_is_one_that_there_is() -> None:
    assert set(HookFacts.model_fields) == set(FACTS)


def facts(**more: Any) -> HookFacts:
    known = {"kind": "backup", "configuration": "shop", "target": "shop", "dag": "d", "run": "r", "hook": "ping"}
    return HookFacts.model_validate({**known, "when": "after", **more})


def test_a_fact_with_a_quotation_mark_ends_no_json_text() -> None:
    told = facts(reason='dump failed: "x"\n', complete=True)
    assert told.filled('{"text": "${reason}", "set": ${complete}}', as_json=True) == (
        '{"text": "dump failed: \\"x\\"\\n", "set": true}'
    )
    assert told.filled("$reason $$5", as_json=False) == 'dump failed: "x"\n $5'
