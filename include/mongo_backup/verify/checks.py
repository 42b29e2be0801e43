"""A user's own questions to restored data, and whether the answers are the expected ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from bson import json_util
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, OperationFailure

from mongo_backup.connection import Client, mongo_errors, said
from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.objects.verification import Check

_SHOWN = 300
_AWARE = CodecOptions[dict[str, Any]](tz_aware=True)


class CheckResult(Model):
    """How one check ended."""

    name: str
    ok: bool
    words: str
    """What came, and what should have come."""


def run_check(client: Client, check: Check, *, host: str) -> CheckResult:
    """Ask, and compare the answer.

    :raises ConfigurationError: filter or pipeline are no extended JSON.
    :raises TransientError: the server is gone.
    """
    db, _, name = check.namespace.partition(".")
    collection = client[db].get_collection(name, codec_options=_AWARE)
    try:
        with mongo_errors(f"check {check.name!r} on {check.namespace}", host):
            problems, found = _compare(collection, check)
    except (BSONError, TypeError, ValueError) as error:
        raise ConfigurationError(f"check {check.name!r} cannot be read as extended JSON: {error}") from error
    words = "; ".join(problems) or found
    return CheckResult(name=check.name, ok=not problems, words=f"{check.namespace}: {words}"[: 2 * _SHOWN])


def _compare(collection: Collection[dict[str, Any]], check: Check) -> tuple[list[str], str]:
    try:
        problems, found = list[str](), list[str]()
        if (check.count, check.at_least, check.at_most) != (None, None, None):
            number = _number(collection, check)
            problems += _number_problems(number, check)
            found.append(f"{number} documents")
        if check.equals is not None:
            problems += _document_problems(_documents(collection, check, len(check.equals) + 1), check.equals)
            found.append(f"the {len(check.equals)} expected documents")
    except ExecutionTimeout:
        return [f"no answer within {check.timeout.total_seconds():.0f} s"], ""
    except OperationFailure as error:
        if error.timeout:
            raise
        return [f"the server refuses the question: {said(error)[:_SHOWN]}"], ""
    return problems, ", ".join(found)


def _number(collection: Collection[dict[str, Any]], check: Check) -> int:
    counted = [*_stages(check), {"$count": "n"}]
    return next((int(each["n"]) for each in _aggregate(collection, check, counted)), 0)


def _documents(collection: Collection[dict[str, Any]], check: Check, limit: int) -> list[dict[str, Any]]:
    stages = _stages(check) if check.pipeline is not None else [*_stages(check), {"$sort": {"_id": 1}}]
    return list(islice(_aggregate(collection, check, stages), limit))


def _aggregate(
    collection: Collection[dict[str, Any]], check: Check, stages: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    limit = int(check.timeout.total_seconds() * 1000)
    with collection.aggregate(stages, allowDiskUse=True, maxTimeMS=limit) as cursor:
        yield from cursor


def _stages(check: Check) -> list[dict[str, Any]]:
    if check.pipeline is not None:
        return [_from_extended_json(stage) for stage in check.pipeline]
    return [{"$match": _from_extended_json(check.filter)}] if check.filter else []


def _from_extended_json(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json_util.loads(json.dumps(value))
    return found


def _plain(value: Any) -> Any:
    """Relaxed extended JSON: 4 is 4, whether the server calls it int32, int64 or double."""
    return json.loads(json_util.dumps(value, json_options=json_util.RELAXED_JSON_OPTIONS))


def _number_problems(number: int, check: Check) -> Iterator[str]:
    for wrong, words in (
        (check.count is not None and number != check.count, f"instead of {check.count}"),
        (check.at_least is not None and number < check.at_least, f"instead of {check.at_least} or more"),
        (check.at_most is not None and number > check.at_most, f"instead of {check.at_most} or fewer"),
    ):
        if wrong:
            yield f"{number} documents {words}"


def _document_problems(there: list[dict[str, Any]], wanted: tuple[dict[str, Any], ...]) -> Iterator[str]:
    found, expected = _plain(there), [_plain(_from_extended_json(each)) for each in wanted]
    if found != expected:
        yield f"{_text(found)} instead of {_text(expected)}"


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
