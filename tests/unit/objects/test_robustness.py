"""Whatever is written in place of any value of the example: it loads, or an error in plain words says what to do."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mongo_backup.objects.documents import Document
from mongo_backup.objects.loader import parse_document

EXAMPLE = Path(__file__).parents[3] / "include" / "config" / "shop.yaml"
ODD: list[Any] = [
    *(None, True, False, 0, -1, 7, 1.5, float("inf"), float("nan"), 10**30),
    *("", " ", "x", "Größe", "a" * 300, "a:b", "1h", "-1h", "9" * 40 + "d", "{{ params.x }}", "\x00", "*", "a.b.*"),
    *([], [None], ["x"], [[]], {}, {"x": 1}, {"name": None}, {1: 2}),
]
FOREIGN = re.compile(r"pydantic|Input should|NoneType|<class|Traceback|Value error|\bdict\b|\btuple\b", re.IGNORECASE)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    result = copy.deepcopy(value)
    holder = result
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = odd
    return result


def test_odd_values_everywhere() -> None:
    tried = refused = 0
    for example in yaml.safe_load_all(EXAMPLE.read_text("utf-8")):
        for path in list(places(example))[1:]:
            for odd in ODD:
                document = Document(file="x.yaml", line=1, value=replaced(example, path, odd))
                parsed, errors = parse_document(document)
                tried += 1
                refused += bool(errors)
                assert (parsed is None) == bool(errors), (path, odd)
                for error in errors:
                    assert not FOREIGN.search(str(error)), error
                    assert len(str(error)) < 800, error
    assert tried > 1500
    assert refused > tried / 2


def test_odd_fields_everywhere() -> None:
    """An unknown field is refused wherever it stands, except where any name is allowed."""
    for example in yaml.safe_load_all(EXAMPLE.read_text("utf-8")):
        for path in places(example):
            holder = example
            for key in path:
                holder = holder[key]
            if isinstance(holder, dict) and path[-1:] not in (("labels",), ("shards",)):
                document = Document(file="x.yaml", line=1, value=replaced(example, (*path, "zzzz"), 1))
                parsed, errors = parse_document(document)
                assert parsed is None, path
                assert any("zzzz: is no field here" in str(error) for error in errors), (path, errors)
