"""Whether one restic process can work on two repositories at once, and how.

`restic copy` and `restic init --copy-chunker-params` read one repository and write another. The second's location and
password have variables of their own (`RESTIC_FROM_*`); all else, such as `AWS_ACCESS_KEY_ID`, `--cacert` or
`--option=s3.region`, is there once for both
(https://restic.readthedocs.io/en/stable/045_working_with_repos.html#copying-snapshots-between-repositories).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mongo_backup.repository.store import StoreAccess

_ONE_SIDED = ("--limit-", "--pack-size", "--compression", "--cache-dir", "--no-cache")
"""Options that say how data are moved: the writer's count, but for the limit of downloads."""
_WRITING = ("s3.storage-class=", ".connections=")
_DOWNLOAD = "--limit-download"
_HTTP = {"s3", "gcs", "azure", "rest", "b2"}


def clash(source: StoreAccess, target: StoreAccess) -> str | None:
    """What the two repositories would need twice in one process, in words; None: nothing."""
    if source.kind == target.kind and source.kind is not None:
        if _identity(source) != _identity(target):
            return f"both are {source.kind} stores with credentials of their own, and restic takes one"
        if _reach(source) != _reach(target):
            return f"both are {source.kind} stores that are reached in different ways, and restic takes one"
    if {source.kind, target.kind} <= _HTTP and _authority(source) != _authority(target):
        return "both have a certificate authority of their own, and restic takes one"
    return None


def _identity(access: StoreAccess) -> tuple[Mapping[str, str], Mapping[str, str], Mapping[str, str], tuple[str, ...]]:
    variables = {name: value for name, value in access.variables.items() if name != "AWS_DEFAULT_REGION"}
    return variables, access.file_variables, access.files, access.replaced


def _reach(access: StoreAccess) -> set[str]:
    options = {each for each in access.options if each.startswith("--option=") and not _only_writes(each)}
    return options | set(access.file_templates)


def _only_writes(option: str) -> bool:
    return any(word in option for word in _WRITING)


def _authority(access: StoreAccess) -> tuple[str, ...]:
    named = [access.options[at + 1] for at, word in enumerate(access.options) if word == "--cacert"]
    return (*named, *access.file_options.values())


def joined_options(source: Sequence[str], target: Sequence[str]) -> list[str]:
    """The options of a process that reads `source` and writes `target`."""
    return [
        *(each for each in target if not each.startswith(_DOWNLOAD)),
        *_reading(source, given=target),
    ]


def _reading(source: Sequence[str], *, given: Sequence[str]) -> Iterator[str]:
    """The source's options that the target does not bring already."""
    words = iter(source)
    for word in words:
        if word in ("--cacert", "--cache-dir"):  # the only ones whose value is a word of its own
            value = next(words)
            if word == "--cacert" and word not in given:
                yield from (word, value)
        elif word.startswith(_DOWNLOAD):
            yield word
        elif word.startswith(_ONE_SIDED) or _only_writes(word):
            continue
        elif word not in given:
            yield word
