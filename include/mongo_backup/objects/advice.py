"""Turns pydantic's errors into plain advice: what is wrong, and what to write instead."""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, HostPort, Name, Reference
from mongo_backup.objects.problems import Path, shown, speaks_of_secrets


def advice_on_secrets(field: str = "credentials") -> str:
    """What to write where somebody wrote a secret."""
    return (
        "a secret never stands in an object: keep it in an Airflow Connection and write its id, "
        f"`{field}: {{connection: <id>}}`, or name a Kubernetes Secret, `{field}: {{secret: {{name: <name>}}}}`"
    )


def explain(model: type[Model], value: Any, error: ValidationError) -> Iterator[tuple[Path, str]]:
    """Give each of pydantic's errors as the field's path in the document and a sentence.

    :param model: the kind that was tried.
    :param value: the document.
    """
    found = [(_written_path(details, value), details) for details in error.errors(include_url=False)]
    misspelt = {
        (*path[:-1], similar(str(path[-1]), _fields(_annotation(model, path[:-1], value))))
        for path, details in found
        if details["type"] == "extra_forbidden"
    }
    for path, details in found:
        follows = (details["type"] == "too_short" and details["input"]) or (
            details["type"] == "missing" and path in misspelt
        )
        if not follows:  # from another error, which is told already
            yield path, _sentence(model, path, details, value)


def similar(word: str, words: Iterable[str]) -> str | None:
    """The one of the words that was most likely meant: `retentionPolicy` is `retention_policy`."""
    by_letters = {_letters(known): known for known in words}
    close = difflib.get_close_matches(_letters(word), by_letters, n=1, cutoff=0.7)
    return by_letters[close[0]] if close else None


def _letters(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.lower())


def _written_path(details: ErrorDetails, value: Any) -> Path:
    """Pydantic's location without the names of union members, which nobody wrote."""
    path: list[str | int] = []
    location = details["loc"]
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(part, int):
            path.append(part)
            value = value[part] if isinstance(value, list) and part < len(value) else None
        elif isinstance(value, dict) and (part in value or (last and details["type"] == "missing")):
            path.append(part)
            value = value.get(part)
    return tuple(path)


def _sentence(model: type[Model], path: Path, details: ErrorDetails, value: Any) -> str:
    found, context = details["input"], details.get("ctx", {})
    field = _annotation(model, path, value)
    match details["type"]:
        case "extra_forbidden":
            return _unknown(model, path, found, value)
        case "missing":
            return _missing(str(path[-1]), field)
        case "literal_error" | "enum":
            return _choose(found, path, _choices(field) or re.findall(r"'([^']*)'", context["expected"]))
        case "union_tag_invalid":
            return _choose(context["tag"], path, re.findall(r"'([^']*)'", context["expected_tags"]), "provider")
        case "union_tag_not_found":
            return f"needs `provider`; write one of: {', '.join(_tags(field))}"
        case "value_error":
            return str(context["error"])
        case "string_pattern_mismatch":
            return f"{shown(found, path)} is not allowed; {_pattern_advice(context['pattern'])}"
        case "too_short":
            return "is an empty list; write at least one item"
        case "greater_than_equal" | "greater_than" | "less_than_equal" | "less_than":
            return f"{shown(found, path)} is out of range; {_range_advice(context)}"
    return _wrong_type(details["type"], found, path, field)


def _unknown(model: type[Model], path: Path, found: Any, value: Any) -> str:
    name = str(path[-1])
    if speaks_of_secrets(name) and not isinstance(found, dict | list):
        return f"is not allowed; {advice_on_secrets()}"
    known = _fields(_annotation(model, path[:-1], value))
    if (meant := similar(name, known)) is not None:
        return f"is no field here; did you mean `{meant}`?"
    elsewhere = sorted(set(_places(model, name, ())))
    if elsewhere:
        return f"is no field here; it belongs to {' or '.join(elsewhere[:3])}"
    return f"is no field here; the fields are: {', '.join(sorted(known))}" if known else "is no field here; remove it"


def _missing(name: str, annotation: Any) -> str:
    text = "is missing; "
    if annotation is Reference:
        return f"{text}write `{name}: {{name: <name of the object>}}`"
    if annotation is CredentialsReference:
        return f"{text}write `{name}: {{connection: <id of an Airflow Connection>}}`"
    choices = _choices(annotation)
    if choices:
        return f"{text}write `{name}: {choices[0]}` (one of: {', '.join(choices)})"
    return f"{text}write `{name}: ...`"


def _choose(found: Any, path: Path, choices: list[str], what: str = "") -> str:
    meant = similar(str(found), choices) if len(choices) > 1 else None
    hint = f" (did you mean {meant}?)" if meant else ""
    advice = f"write one of: {', '.join(choices)}" if len(choices) > 1 else f"write {choices[0]}"
    return f"{what + ' ' if what else ''}{shown(found, path)} is not allowed; {advice}{hint}"


def _pattern_advice(pattern: str) -> str:
    if pattern == _pattern(Name):
        return "write small letters, digits, `-` and `_` (63 at most, a letter or digit first and last)"
    if pattern == _pattern(HostPort):
        return "write host:port, such as db1.example.net:27017"
    return f"it must match {pattern}"


def _pattern(annotated: Any) -> str:
    return str(get_args(annotated)[1].pattern)


def _range_advice(context: dict[str, Any]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return "write " + " and ".join(f"{word} {context[key]}" for key, word in words.items() if key in context)


def _wrong_type(kind: str, found: Any, path: Path, annotation: Any) -> str:
    what = shown(found, path)
    if annotation is Reference and isinstance(found, str):
        return f"{what} is no reference; write `{path[-1]}: {{name: {found}}}`"
    if annotation is CredentialsReference:
        return f"{what} is no reference; {advice_on_secrets(str(path[-1]))}"
    if kind.startswith("string"):
        quoted = f"put it in quotes: '{found}'" if isinstance(found, int | float) else "write text"
        return f"{what} is no text; {quoted}"
    needs = {
        "bool": "write true or false",
        "int": "write a whole number",
        "float": "write a number",
        "tuple": "write a list: each item on a line of its own after `- `, or [a, b]",
        "list": "write a list: each item on a line of its own after `- `, or [a, b]",
        "dict": "write `name: value` lines below it",
        "model": "write its fields on lines below it",
    }
    advice = next((text for start, text in needs.items() if kind.startswith(start)), None)
    fields = sorted(set(_fields(annotation)))
    if kind.startswith("model") and fields:
        advice = f"write its fields on lines below it: {', '.join(fields)}"
    return f"{what} is of the wrong type; {advice or kind}"


# What may stand at a path, from the models' own annotations.


def _annotation(model: Any, path: Path, value: Any) -> Any:
    """The annotation of the field at the path, unions resolved by what is written there."""
    here: Any = model
    for part in path:
        here = _resolve(here, value)
        origin = get_origin(here)
        if origin is dict:
            here = get_args(here)[1]
        elif origin in (tuple, list):
            here = get_args(here)[0]
        elif isinstance(here, type) and issubclass(here, Model) and (field := _field(here, part)) is not None:
            here = field.rebuild_annotation() if field.discriminator else field.annotation
        else:
            return None
        if isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return _resolve(here, value)


def _field(model: type[Model], name: object) -> FieldInfo | None:
    return next((field for key, field in model.model_fields.items() if name in (key, field.alias)), None)


def _members(annotation: Any) -> list[Any]:
    """The members of a union, without None; the annotation itself if it is none."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for part in get_args(annotation) if part is not type(None) for member in _members(part)]
    return [annotation]


def _resolve(annotation: Any, value: Any) -> Any:
    members = _members(annotation)
    if len(members) == 1:
        return members[0]
    provider = value.get("provider") if isinstance(value, dict) else None
    return next((member for member in members if provider in _tags(member)), Union[tuple(members)])  # noqa: UP007


def _tags(annotation: Any) -> list[str]:
    """The values of `provider` that lead to this annotation's models."""
    return [
        str(tag)
        for member in _members(annotation)
        if isinstance(member, type) and issubclass(member, Model) and "provider" in member.model_fields
        for tag in get_args(member.model_fields["provider"].annotation)
    ]


def _choices(annotation: Any) -> list[str]:
    values: list[Any] = []
    for member in _members(annotation):
        if get_origin(member) is Literal:
            values += get_args(member)
        elif isinstance(member, type) and issubclass(member, Enum):
            values += list(member)
    return [str(value.value if isinstance(value, Enum) else value) for value in values]


def _fields(annotation: Any) -> list[str]:
    return [
        field.alias or name
        for member in _members(annotation)
        if isinstance(member, type) and issubclass(member, Model)
        for name, field in member.model_fields.items()
    ]


def _places(annotation: Any, wanted: str, path: Path) -> Iterator[str]:
    """Where else in the kind a field of this name is: `spec.sessions[]`."""
    for member in _members(annotation):
        if get_origin(member) in (tuple, list) and get_args(member):
            yield from _places(get_args(member)[0], wanted, (*path[:-1], f"{path[-1]}[]"))
        elif isinstance(member, type) and issubclass(member, Model):
            for name, field in member.model_fields.items():
                if name == wanted and path:
                    yield f"`{'.'.join(map(str, path))}`"
                yield from _places(field.annotation, wanted, (*path, name))
