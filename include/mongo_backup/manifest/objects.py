"""The objects that made a set, out of its manifest: as values, and as the YAML that a user keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from pydantic import ValidationError

from mongo_backup.errors import PreconditionError
from mongo_backup.manifest.model import Manifest
from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.kinds import KINDS
from mongo_backup.objects.resolved import Objects


def objects_of(manifest: Manifest) -> Objects:
    """Return the objects.

    :raises PreconditionError: they are not there, or of a form that this version does not know.
    """
    try:
        return Objects.model_validate(manifest.objects)
    except ValidationError as error:
        raise _unreadable(error, manifest) from None


def documents_of(manifests: Iterable[Manifest]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all objects of these sets by kind and name, as short as a person would write them.

    :param manifests: the oldest first: of an object that changed, the newest is taken.
    :raises PreconditionError: one is of a form that this version does not know.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for manifest in manifests:
        for value in _values(manifest.objects):
            if value.get("kind") in KINDS:
                one = _object(value, manifest)
                if one != builtin_addon():
                    found[value["kind"], one.name] = _document(value["kind"], one)
    return found


def _object(value: dict[str, Any], manifest: Manifest) -> KubernetesStyleObject:
    try:
        return KINDS[value["kind"]].model_validate(value)
    except ValidationError as error:
        raise _unreadable(error, manifest) from None


def _unreadable(error: ValidationError, manifest: Manifest) -> PreconditionError:
    what = error.errors(include_input=False, include_url=False)[0]
    return PreconditionError(
        f"the objects in the manifest of set {manifest.set_id} cannot be read by this version ("
        f"{'.'.join(map(str, what['loc']))}: {what['msg']}): use the version that wrote it, "
        f"{manifest.core_version}, or write the objects anew"
    )


def _values(objects: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The objects, and those of the copies."""
    for holder in (*objects.get("copies", ()), objects):  # the configuration's own last: it is the authority
        yield from (value for value in holder.values() if isinstance(value, dict))


def missing_policies(documents: dict[tuple[str, str], dict[str, Any]]) -> list[str]:
    """Retention policies that sessions name and no manifest holds: those of sessions that never made a set."""
    wanted = {
        one["retention_policy"]["name"]
        for (kind, _), document in documents.items()
        if kind == "BackupConfiguration"
        for session in document["spec"]["sessions"]
        for one in (session, *session.get("copies", ()))
        if "retention_policy" in one
    }
    return sorted(wanted - {name for kind, name in documents if kind == "RetentionPolicy"})


def _document(kind: str, one: KubernetesStyleObject) -> dict[str, Any]:
    body = one.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    rest = {name: value for name, value in body.items() if name not in ("apiVersion", "kind")}
    return {"apiVersion": one.api_version, "kind": kind, **rest}


def as_yaml(document: dict[str, Any]) -> str:
    """One object as YAML."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
