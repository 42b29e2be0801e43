"""YAML files into plain values that know where they stand: file, line, field path.

YAML 1.2's core rules decide what a word means (https://yaml.org/spec/1.2.2/#103-core-schema), so that `no`, `1:30` or
`2024-01-31` stay the text that was written. Anchors and merge keys work; tags do not, and a key written twice is an
error. Nothing of the environment is put in.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, ClassVar

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mongo_backup.objects.problems import ObjectError, Path

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PREFIX = "tag:yaml.org,2002:"
_MERGE = _PREFIX + "merge"
_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)
"""A document's start: at the begin of a line it is nothing else, not even inside a block of text."""
_MOST_VALUES = 50_000
"""More values in one document (aliases counted each time) are no object but an attack or a mistake."""


class _Loader(_Base):  # type: ignore[misc]
    """Composes nodes; only YAML 1.2's own words are more than text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(frozen=True)
class Document:
    """One YAML document as plain values, with the line of every field."""

    file: str
    line: int
    value: Any
    lines: dict[Path, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: Path) -> int:
        """The line of a field, or of the nearest field around it that was written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, self.line)


def read_documents(path: FilePath, *, file: str | None = None) -> Iterator[Document | ObjectError]:
    """Read a file document by document; one that cannot be read is an error in its place, the others are not lost.

    :param path: the file.
    :param file: the name by which errors call it; the path itself by default.
    """
    name = file or str(path)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        yield ObjectError(file=name, message="is no UTF-8 text; save it as UTF-8")
        return
    except OSError as error:
        yield ObjectError(file=name, message=f"cannot be read: {error.strerror}; check the path and its permissions")
        return
    for first_line, part in _parts(text):
        yield from _read_part(name, first_line, part)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """Cut the text before each `---`, with the number of lines that stand before each part."""
    starts = [0, *(match.start() for match in _START.finditer(text) if match.start()), len(text)]
    for start, end in itertools.pairwise(starts):
        yield text.count("\n", 0, start), text[start:end]


def _read_part(name: str, first_line: int, part: str) -> Iterator[Document | ObjectError]:
    try:
        for node in yaml.compose_all(part, _Loader):
            yield _Reader(name, first_line).read(node)
    except _Problem as problem:
        yield problem.error
    except yaml.MarkedYAMLError as error:
        marks = [mark for mark in (error.problem_mark, error.context_mark) if mark is not None]
        last = part.rstrip().count("\n")
        lines = [first_line + 1 + min(mark.line, last) for mark in marks] or [first_line + 1]
        begun = f" (what it is part of begins on line {lines[-1]})" if lines[-1] != lines[0] else ""
        yield ObjectError(file=name, line=lines[0], message=f"is no valid YAML: {_plain(error)}{begun}")
    except yaml.YAMLError as error:
        yield ObjectError(file=name, line=first_line + 1, message=f"is no valid YAML: {str(error).splitlines()[0]}")


def _plain(error: yaml.MarkedYAMLError) -> str:
    """The parser's words with what mostly is behind them. They name characters, never whole values."""
    words = " ".join(part for part in (error.context, error.problem) if part)
    if "mapping values are not allowed" in words:
        return f"{words}; check the indentation, and put text with a colon and a blank in quotes"
    if "\\t" in words:
        return f"{words}; indent with blanks, not with tabs"
    return f"{words}; check indentation, quotes and brackets"


class _Problem(Exception):
    def __init__(self, error: ObjectError) -> None:
        super().__init__(error.message)
        self.error = error


class _Reader:
    """Turns one document's nodes into plain values and notes their lines."""

    def __init__(self, file: str, first_line: int) -> None:
        self._file = file
        self._first_line = first_line
        self._lines: dict[Path, int] = {}
        self._open: list[Node] = []
        self._count = 0

    def read(self, root: Node) -> Document:
        """Read the whole document."""
        value = self._value(root, ())
        return Document(file=self._file, line=self._line(root), value=value, lines=self._lines)

    def _line(self, node: Node) -> int:
        return int(self._first_line + 1 + node.start_mark.line)

    def _problem(self, node: Node, path: Path, message: str) -> _Problem:
        return _Problem(ObjectError(file=self._file, line=self._line(node), path=path, message=message))

    def _value(self, node: Node, path: Path) -> Any:
        self._count += 1
        if self._count > _MOST_VALUES:
            raise self._problem(node, path, f"holds more than {_MOST_VALUES} values; an object is far smaller")
        if any(node is outer for outer in self._open):
            raise self._problem(node, path, "is an alias for something that it stands in; write it out")
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        self._open.append(node)
        try:
            if isinstance(node, SequenceNode) and node.tag == _PREFIX + "seq":
                return [self._item(child, (*path, index)) for index, child in enumerate(node.value)]
            if isinstance(node, MappingNode) and node.tag == _PREFIX + "map":
                return self._mapping(node, path)
        finally:
            self._open.pop()
        raise self._tag(node, path)

    def _tag(self, node: Node, path: Path) -> _Problem:
        shown = node.tag.replace(_PREFIX, "!!")
        return self._problem(node, path, f"has the tag {shown}; tags are not allowed, write the plain value")

    def _item(self, node: Node, path: Path) -> Any:
        self._lines[path] = self._line(node)
        return self._value(node, path)

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        match node.tag.removeprefix(_PREFIX):
            case "str" | "merge":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
            case "float":
                return float(text)
        raise self._tag(node, path)

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[tuple[Node, Node]] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append((key_node, value_node))
                continue
            key = self._key(key_node, path)
            if key in result:
                before = self._lines[(*path, key)]
                message = f"is written twice, first on line {before}; remove one of the two"
                raise self._problem(key_node, (*path, key), message)
            self._lines[(*path, key)] = self._line(key_node)
            result[key] = self._value(value_node, (*path, key))
        for key_node, value_node in merged:
            self._merge(result, key_node, value_node, path)
        return result

    def _key(self, node: Node, path: Path) -> str:
        if isinstance(node, ScalarNode) and node.tag.startswith(_PREFIX):
            return str(node.value)
        raise self._problem(node, path, "has a key that is no plain word; write `name: value`")

    def _merge(self, result: dict[str, Any], key_node: Node, value_node: Node, path: Path) -> None:
        """`<<: *base`: what is written beside it wins, then the first of several bases."""
        sources = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
        for source in sources:
            if not isinstance(source, MappingNode):
                raise self._problem(key_node, path, "merges something without fields; write `<<: *anchor` of a mapping")
            base = _Reader(self._file, self._first_line)
            base._open, base._count = self._open, self._count
            for key, value in base._value(source, path).items():
                if key not in result:
                    result[key] = value
                    depth = len(path)
                    inner = {at: line for at, line in base._lines.items() if at[depth : depth + 1] == (key,)}
                    self._lines.update(inner)
            self._count = base._count
