"""What is wrong with an object, for people: file, line, field, value and what to write instead.

A value is quoted only where it cannot be a secret: never in a field whose name speaks of one, never text that looks
like an address with a password in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
"""Where a value stands in a document: `("spec", "sessions", 0, "name")`."""

_SECRET_WORD = re.compile(
    r"pass(word|wd|phrase)?|secret|token|private|access_?key|account_?key|api_?key|credential|encryption|(^|_)pwd|key_?file",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/@\s]*@|^[^/@\s]+:[^/@\s]*@")
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class ObjectError:
    """One thing to put right."""

    file: str
    message: str
    """What is wrong with the field, then what to write instead."""
    line: int | None = None
    path: Path = ()
    kind: str | None = None
    name: str | None = None
    """The object that is taken away by it, where it is known."""

    @property
    def field(self) -> str:
        """`spec.sessions[0].consistency`; empty where it is about the whole file or document."""
        return field_text(self.path)

    def __str__(self) -> str:
        """`shop.yaml:12: spec.sessions[0].consistency: 'lockd' is not allowed; write one of: locked, snapshot`."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (where, self.field, self.message) if part)

    @property
    def consequence(self) -> str | None:
        """What is missing until it is put right, where it is known."""
        if self.kind is None:
            return None
        which = f"{self.kind} {self.name}" if self.name else f"a {self.kind}"
        lost = "its DAGs are missing" if self.kind == "BackupConfiguration" else "it and all that needs it are missing"
        return f"{which}: {lost} until this is put right"


def error_text(errors: Iterable[ObjectError]) -> str:
    """Errors for people, in the order of files and lines; after those of one object, what they take away."""
    ordered = sorted(errors, key=lambda error: (error.file, error.line or 0, error.field))
    lines: list[str] = []
    for index, error in enumerate(ordered):
        lines.append(str(error))
        following = ordered[index + 1] if index + 1 < len(ordered) else None
        if error.consequence and (following is None or following.consequence != error.consequence):
            lines.append(f"    {error.consequence}")
    return "\n".join(lines)


def field_text(path: Path) -> str:
    """Write a path the way people do."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def speaks_of_secrets(name: object) -> bool:
    """Whether a field of this name may hold a secret."""
    return bool(_SECRET_WORD.search(str(name)))


def has_userinfo(text: str) -> bool:
    """Whether the text is an address with a user (and most likely a password) in it."""
    return bool(_USERINFO.search(text))


def shown(value: Any, path: Path = ()) -> str:
    """A value as an error may quote it."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "an empty value"
    if any(speaks_of_secrets(part) for part in path) or (isinstance(value, str) and has_userinfo(value)):
        return "the value (not shown: it may be a secret)"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
