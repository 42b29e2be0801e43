"""Which function and which runner a step gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.dags.support import basics, shop

from mongo_backup.objects.loader import load_directory
from mongo_backup.objects.resolved import Objects
from mongo_backup_airflow.runners.base import LIKE, TASKS, function_for, runs_in_pod
from sandbox.objects import API, write_objects

IMAGES = {name: {"image": f"{name}:1"} for name in ("backup", "maintain", "verify", "control")}


def resolved(folder: Path, **execution: Any) -> Objects:
    """A configuration whose functions are known by their images."""
    configuration = shop()
    configuration["spec"] |= {"addon": {"name": "mine"}, "execution": {"runner": "kubernetes", **execution}}
    addon = {**API, "kind": "Addon", "metadata": {"name": "mine"}, "spec": {"functions": IMAGES}}
    write_objects(folder, *basics(), addon, configuration)
    return load_directory(folder).resolve("shop", "nightly")


@pytest.mark.parametrize(
    ("step", "function"),
    [
        ("backup.dump", "backup"),
        ("backup.copy", "maintain"),
        ("maintain.check", "maintain"),
        ("verify.restore_and_compare", "verify"),
        ("verify.choose_set", "control"),
        ("backup.lock_secondaries", "control"),
    ],
)
def test_the_function_of_a_step(tmp_path: Path, step: str, function: str) -> None:
    assert function_for(resolved(tmp_path), step).image == f"{function}:1"


def test_before_members_are_locked_a_pod_like_those_of_dumps_has_run(tmp_path: Path) -> None:
    """But where control steps are the worker's, it is no pod."""
    assert function_for(resolved(tmp_path), "backup.identify_secondaries").image == "backup:1"
    found = resolved(tmp_path, control_steps="worker").configuration.spec.execution
    assert not runs_in_pod(found, "backup.identify_secondaries")
    assert runs_in_pod(found, "backup.copy")
    assert not LIKE.keys() & TASKS.keys()
