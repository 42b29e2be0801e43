"""Fills the generated parts of the reference pages from the code: `python docs/generate.py`.

A page marks such a part by `<!-- generated: NAME -->` and `<!-- end -->`; `PARTS` says what NAME is. The rest of the
page is written by hand. A test runs this and compares.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic_core import PydanticUndefined

from mongo_backup.agent import contract, maintain_contract, release_contract, restore_contract, verify_contract
from mongo_backup.agent.registry import STEPS
from mongo_backup.errors import ExitCode, error_class
from mongo_backup.manifest import model as manifest
from mongo_backup.metrics.catalogue import SUBJECTS
from mongo_backup.model import Model
from mongo_backup.objects.kinds import KINDS
from mongo_backup.objects.quantities import Duration, format_duration
from mongo_backup.objects.schema import schema_text
from mongo_backup.topology import privileges
from mongo_backup.topology.roles import BACKUP_ROLE, RESTORE_ROLE, shell_text

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
MARKED = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_DURATION = get_args(Duration)[1:]


def main() -> None:
    """Write every page and the JSON Schema anew."""
    for path in pages():
        path.write_text(render(path), "utf-8")
    (REFERENCE / "objects.schema.json").write_text(schema_text(), "utf-8")


def pages() -> list[Path]:
    """Pages with generated parts."""
    return [path for path in sorted((ROOT / "docs").rglob("*.md")) if MARKED.search(path.read_text("utf-8"))]


def render(path: Path) -> str:
    """The page as it should be."""
    return MARKED.sub(lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n{match[3]}", path.read_text("utf-8"))


# Tables of models


def model_section(model: type[Model], *, level: int, seen: set[type[Model]], name: str | None = None) -> Iterator[str]:
    """A model as a heading, its words and a table of its fields, then the models in it that were not told yet."""
    if model in seen:
        return
    seen.add(model)
    yield f"{'#' * level} {name or model.__name__}\n\n{_words(model)}\n\n{model_table(model)}"
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from model_section(inner, level=min(level + 1, 4), seen=seen)


def model_table(model: type[Model]) -> str:
    """The fields of a model."""
    rows = ["| Field | Type | Default | Meaning |", "| --- | --- | --- | --- |"]
    own = [name for name in model.__annotations__ if name in model.model_fields]
    for name in dict.fromkeys([*own, *model.model_fields]):
        field = model.model_fields[name]
        kind = type_words(field.annotation, tuple(field.metadata))
        default = "**required**" if field.is_required() else _default(field.get_default(call_default_factory=True))
        rows.append(f"| `{field.alias or name}` | {kind} | {default} | {_cell(field.description or '')} |")
    return "\n".join(rows)


def _words(model: type[Model]) -> str:
    return inspect.cleandoc(model.__doc__ or "").split("\n:param")[0].strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _default(value: Any) -> str:
    if value is None or value is PydanticUndefined or value in ((), {}, ""):
        return ""
    if isinstance(value, Model):
        return ""
    if isinstance(value, timedelta):
        return f"`{format_duration(value)}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


def _members(annotation: Any) -> list[Any]:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, types.UnionType):
        return [inner for part in get_args(annotation) if part is not type(None) for inner in _members(part)]
    return [annotation]


def _models(annotation: Any) -> Iterator[type[Model]]:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, Model):
            yield member
        elif get_origin(member) in (tuple, list, dict):
            for part in get_args(member):
                yield from _models(part)


def type_words(annotation: Any, metadata: tuple[Any, ...] = ()) -> str:
    """A type as people say it."""
    return " or ".join(dict.fromkeys(_one(member, metadata) for member in _members(annotation)))


def _one(member: Any, metadata: tuple[Any, ...]) -> str:
    origin, arguments = get_origin(member), get_args(member)
    if origin is Literal:
        values = ", ".join(f"`{each.value if isinstance(each, Enum) else each}`" for each in arguments)
        return values if len(arguments) == 1 else f"one of {values}"
    if origin in (tuple, list):
        return f"list of {type_words(arguments[0])}"
    if origin is dict:
        return f"{type_words(arguments[1])} by name"
    if isinstance(member, type) and issubclass(member, Enum) and member is not ExitCode:
        return "one of " + ", ".join(f"`{each.value}`" for each in member)
    if isinstance(member, type) and issubclass(member, Model):
        return f"[{member.__name__}]({_page(member)}#{member.__name__.lower()})"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        timedelta: "duration",
        ExitCode: "exit code",
        Any: "anything",
    }
    return names.get(member, getattr(member, "__name__", str(member)))


@cache
def _models_in(*roots: type[Model]) -> frozenset[type[Model]]:
    """These models and all that their fields hold."""
    found: set[type[Model]] = set()
    open_: list[type[Model]] = list(roots)
    while open_:
        model = open_.pop()
        if model not in found:
            found.add(model)
            open_ += [inner for field in model.model_fields.values() for inner in _models(field.annotation)]
    return frozenset(found)


def _page(model: type[Model]) -> str:
    """The page that tells of a model."""
    if model in _models_in(*KINDS.values()):
        return "objects.md"
    return "manifest.md" if model in _models_in(manifest.Manifest, manifest.Inventory) else "agent.md"


# Parts


def objects() -> str:
    """Every kind with all its fields."""
    seen: set[type[Model]] = set()
    sections: list[str] = []
    for name, kind in KINDS.items():
        spec = kind.model_fields["spec"]
        sections.append(f"## {name}\n\n{_words(kind)}\n\n`spec` is {type_words(spec.annotation)}.")
        for model in _models(spec.annotation):
            sections += model_section(model, level=3, seen=seen)
    return "\n\n".join(sections) + "\n"


def metadata() -> str:
    """What every object has."""
    return model_table(next(_models(next(iter(KINDS.values())).model_fields["metadata"].annotation))) + "\n"


def exit_codes() -> str:
    """The exit codes with their error classes."""
    rows = ["| Code | Name | Retry | Meaning |", "| --- | --- | --- | --- |"]
    plain = {
        ExitCode.OK: ("no", "It worked."),
        ExitCode.UNEXPECTED: ("no", "A defect: nobody foresaw this. The log has the traceback."),
        ExitCode.USAGE: ("no", "The command line is wrong."),
    }
    for code in ExitCode:
        kind = error_class(code)
        retry, words = plain.get(code, ("yes" if kind.retryable else "no", _cell(inspect.getdoc(kind) or "")))
        rows.append(f"| {code.value} | `{code.name}` | {retry} | {words} |")
    return "\n".join(rows) + "\n"


def steps() -> str:
    """Every step, what it is and what it returns."""
    rows = ["| Step | Request | Result | What it does |", "| --- | --- | --- | --- |"]
    for name, step in STEPS.items():
        function = step.call()
        result = str(inspect.signature(function).return_annotation)
        words = (inspect.getdoc(function) or "").split("\n\n")[0]
        request = step.request_type().__name__
        rows.append(f"| `{name}` | [{request}](#{request.lower()}) | [{result}](#{result.lower()}) | {_cell(words)} |")
    return "\n".join(rows) + "\n"


def requests() -> str:
    """Requests and results."""
    seen = {*_models_in(*KINDS.values()), *_models_in(manifest.Manifest, manifest.Inventory)}
    models: list[type[Model]] = [
        contract.Envelope,
        contract.BackupRequest,
        restore_contract.RestoreRequest,
        release_contract.WatchRequest,
        verify_contract.VerifyRequest,
        maintain_contract.MaintainRequest,
    ]
    modules = (contract, restore_contract, release_contract, verify_contract, maintain_contract)
    models += [each for module in modules for each in _results(module)]
    return "\n\n".join(part for model in models for part in model_section(model, level=3, seen=seen)) + "\n"


def _results(module: types.ModuleType) -> Iterator[type[Model]]:
    for name, value in vars(module).items():
        if name.endswith("Result") and value.__module__ == module.__name__:
            yield value


def manifest_fields() -> str:
    """The manifest and all that is in it."""
    seen: set[type[Model]] = set()
    sections = [*model_section(manifest.Manifest, level=3, seen=seen)]
    sections += model_section(manifest.Inventory, level=3, seen=seen)
    return "\n\n".join(sections) + "\n"


def backup_role() -> str:
    """The backup user's role for mongosh."""
    return f"```javascript\n{shell_text(BACKUP_ROLE, 'mongo-backup')}```\n"


def restore_role() -> str:
    """The restore user's role for mongosh."""
    return f"```javascript\n{shell_text(RESTORE_ROLE, 'mongo-restore')}```\n"


def needs() -> str:
    """Which privilege is needed where: what `prepare` checks."""
    groups = {
        "every component, a standalone too": privileges.COMMON,
        "every replica set": privileges.REPLICATED,
        "every replica set, with `consistency: locked`": privileges.LOCKING,
        "the config server, the replica set, or the standalone": privileges.JOURNALING,
        "the config server, where no mongos is named": privileges.BALANCING,
        "mongos, where one is named": privileges.BALANCING_ROUTED,
        "every shard, where there are two or more, from MongoDB 8.0 on": privileges.DIRECT,
    }
    rows = ["| Where | On | Actions |", "| --- | --- | --- |"]
    for where, wanted in groups.items():
        for resource, actions in wanted:
            on = "the cluster" if resource.get("cluster") else f"`{resource['db']}.{resource['collection']}`"
            on = "every collection" if on == "`.`" else on
            rows.append(f"| {where} | {on} | {', '.join(f'`{action}`' for action in sorted(actions))} |")
    return "\n".join(rows) + "\n"


def maintain_tasks() -> str:
    """Tasks of a maintenance."""
    from mongo_backup_airflow.builders.words import MAINTAIN_TASKS

    return _task_table(MAINTAIN_TASKS)


def verify_tasks() -> str:
    """Tasks of a verification."""
    from mongo_backup_airflow.builders.words import VERIFY_TASKS

    return _task_table(VERIFY_TASKS)


def _task_table(tasks: dict[str, str]) -> str:
    rows = ["| Task | What it does |", "| --- | --- |"]
    return "\n".join([*rows, *(f"| `{name}` | {_cell(words)} |" for name, words in tasks.items())]) + "\n"


def backup_tasks() -> str:
    """Tasks of a backup."""
    from mongo_backup_airflow.builders.words import BACKUP_TASKS

    return _task_table(BACKUP_TASKS)


def restore_tasks() -> str:
    """Tasks of a restore."""
    from mongo_backup_airflow.builders.words import RESTORE_TASKS

    return _task_table(RESTORE_TASKS)


def release_tasks() -> str:
    """The watchdog's task."""
    from mongo_backup_airflow.builders.words import RELEASE_TASKS

    return _task_table(RELEASE_TASKS)


def metrics() -> str:
    """Every metric, by subject."""
    sections = []
    for each in SUBJECTS:
        key = ", ".join(f"`{label}`" for label in each.key)
        rows = ["| Metric | Further labels | What it tells |", "| --- | --- | --- |"]
        for metric in each.metrics:
            rows.append(
                f"| `{metric.name}` | {', '.join(f'`{one}`' for one in metric.labels)} | {_cell(metric.words)} |"
            )
        key += f" (of a copy by `{each.of_copies}` too)" if each.of_copies else ""
        sections.append(f'## {each.subject}\n\n`job="{each.job}"`, grouped by {key}.\n\n' + "\n".join(rows))
    return "\n\n".join(sections) + "\n"


def alerts() -> str:
    """Every alert with what to do about it."""
    groups = yaml.safe_load((ROOT / "include" / "monitoring" / "alerts.yaml").read_text("utf-8"))["groups"]
    rows = ["| Alert | Severity | What to do |", "| --- | --- | --- |"]
    for rule in (each for group in groups for each in group["rules"]):
        words = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"<\1>", rule["annotations"]["runbook"])
        rows.append(f"| `{rule['alert']}` | {rule['labels']['severity']} | {_cell(words)} |")
    return "\n".join(rows) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "alerts": alerts,
    "metrics": metrics,
    "objects": objects,
    "metadata": metadata,
    "exit-codes": exit_codes,
    "steps": steps,
    "requests": requests,
    "manifest": manifest_fields,
    "backup-role": backup_role,
    "restore-role": restore_role,
    "needs": needs,
    "backup-tasks": backup_tasks,
    "restore-tasks": restore_tasks,
    "verify-tasks": verify_tasks,
    "maintain-tasks": maintain_tasks,
    "release-tasks": release_tasks,
}

if __name__ == "__main__":
    main()
