"""A stage of its own: DAG files that may go, and a scheduler that is started again whenever it ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.airflow.opening import open_stage
from tests.integration.airflow.stage import Stage

from sandbox.airflow import REPOSITORY, Airflow
from sandbox.replica_set import ReplicaSet, Standalone

AGAIN_AND_AGAIN = 'trap "kill $!; wait; exit" TERM; while :; do "$@" & wait $!; done'
"""As a service manager does. Beside it, what the scheduler started lives on when the scheduler is killed."""


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the product's DAG files."""
    return Path(shutil.copytree(REPOSITORY / "dags", tmp_path_factory.mktemp("files") / "dags"))


@pytest.fixture(scope="session")
def stage(
    tmp_path_factory: pytest.TempPathFactory, replica_set: ReplicaSet, standalone: Standalone, dags: Path
) -> Iterator[Stage]:
    def prepare(airflow: Airflow) -> None:
        scheduler = airflow.components["scheduler"]
        scheduler.command = ["bash", "-c", AGAIN_AND_AGAIN, "again", *scheduler.command]

    with open_stage(
        tmp_path_factory.mktemp("airflow"), replica_set=replica_set, standalone=standalone, dags=dags, prepare=prepare
    ) as stage:
        yield stage


@pytest.fixture
def before(stage: Stage) -> set[str]:
    """Complete sets before the test; and nothing left by the test before."""
    stage.wait_quiet()
    assert stage.marks() == []
    return stage.complete_sets()
