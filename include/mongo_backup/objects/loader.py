"""Reads the user's objects: every `*.yaml` and `*.yml` of a folder, several documents per file.

>>> objects = load_directory(Path("include/config"))
>>> objects.error_text()
''
>>> resolved = objects.resolve("shop", "daily")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mongo_backup.errors import ConfigurationError
from mongo_backup.objects.advice import explain, similar
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.documents import Document, read_documents
from mongo_backup.objects.kinds import KINDS
from mongo_backup.objects.object_set import Loaded, ObjectSet
from mongo_backup.objects.plain_secrets import plain_secrets
from mongo_backup.objects.problems import ObjectError, shown

_SUFFIXES = {".yaml", ".yml"}


def load_directory(path: Path | str) -> ObjectSet:
    """Read all objects of a folder and the folders in it; hidden ones are left out.

    :raises ConfigurationError: there is no such folder. What is wrong with files is in the set's `errors`.
    """
    root = Path(path)
    if not root.is_dir():
        raise ConfigurationError(f"there is no folder {root}: create it and put the objects' YAML files there")
    return load_files(object_files(root), root=root)


def load_file(path: Path | str) -> ObjectSet:
    """Read the objects of one file.

    :raises ConfigurationError: there is no such file.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigurationError(f"there is no file {file}")
    return load_files([file], root=file.parent)


def object_files(path: Path) -> list[Path]:
    """The files that are read for a path: the file itself, or a folder's YAML files.

    :raises ConfigurationError: there is nothing at the path.
    """
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and not _hidden(file, path))
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {path}")
    return [path]


def load_files(files: Iterable[Path], *, root: Path) -> ObjectSet:
    """Read the objects of these files as one set; errors name files as seen from `root`."""
    errors: list[ObjectError] = []
    documents: list[Document] = []
    for file in files:
        name = str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
        for read in read_documents(file, file=name):
            if isinstance(read, ObjectError):
                errors.append(read)
            elif read.value is not None:
                documents.append(read)
    twice = list(_named_twice(documents))
    errors += twice
    taken = {(error.kind, error.name) for error in twice}
    loaded: list[Loaded] = []
    for document in documents:
        if (document_kind(document), document_name(document)) not in taken:
            parsed, wrong = parse_document(document)
            errors += wrong
            loaded += [Loaded(parsed, document)] if parsed is not None else []
    return ObjectSet(loaded=loaded, errors=errors)


def parse_document(document: Document) -> tuple[KubernetesStyleObject | None, list[ObjectError]]:
    """Turn one document into its object, or say all that is wrong with it."""
    kind, name = document_kind(document), document_name(document)
    if kind not in KINDS:
        return None, [_unknown_kind(document)]
    problems = dict(plain_secrets(document.value))
    parsed: KubernetesStyleObject | None = None
    try:
        parsed = KINDS[kind].model_validate(document.value)
    except ValidationError as error:
        for path, message in explain(KINDS[kind], document.value, error):
            problems.setdefault(path, message)
    if not problems:
        return parsed, []
    return None, [
        ObjectError(file=document.file, line=document.line_of(path), path=path, message=message, kind=kind, name=name)
        for path, message in problems.items()
    ]


def document_kind(document: Document) -> str | None:
    """The kind as written, if it is text."""
    return _text(document.value, "kind")


def document_name(document: Document) -> str | None:
    """The name as written, if it is text."""
    return _text(document.value.get("metadata"), "name") if isinstance(document.value, dict) else None


def _text(value: Any, field: str) -> str | None:
    found = value.get(field) if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _unknown_kind(document: Document) -> ObjectError:
    kinds = ", ".join(KINDS)
    if not isinstance(document.value, dict):
        message = f"is {shown(document.value)}, not an object; write apiVersion, kind, metadata and spec"
        return ObjectError(file=document.file, line=document.line, message=message)
    if "kind" not in document.value:
        message = f"is missing; write `kind: ...` with one of: {kinds}"
        return ObjectError(file=document.file, line=document.line, path=("kind",), message=message)
    found = document.value["kind"]
    meant = similar(str(found), KINDS)
    hint = f" (did you mean {meant}?)" if meant else ""
    message = f"{shown(found)} is not allowed; write one of: {kinds}{hint}"
    return ObjectError(file=document.file, line=document.line_of(("kind",)), path=("kind",), message=message)


def _named_twice(documents: list[Document]) -> Iterator[ObjectError]:
    """Two objects of one kind and name: nobody can say which is meant, so neither is used."""
    places: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        kind, name = document_kind(document), document_name(document)
        if kind in KINDS and name is not None:
            places.setdefault((kind, name), []).append(document)
    path = ("metadata", "name")
    for (kind, name), found in places.items():
        for document in found if len(found) > 1 else ():
            others = ", ".join(f"{other.file}:{other.line_of(path)}" for other in found if other is not document)
            message = f"{name!r} is also the name of the {kind} in {others}; rename or remove one"
            line = document.line_of(path)
            yield ObjectError(file=document.file, line=line, path=path, message=message, kind=kind, name=name)


def _hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)
