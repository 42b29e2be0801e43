"""One sharded cluster, one repository and one live Airflow for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.airflow.opening import open_stage
from tests.integration.airflow.stage import Stage

from sandbox.replica_set import ReplicaSet, Standalone


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, replica_set: ReplicaSet, standalone: Standalone) -> Iterator[Stage]:
    """See `open_stage`."""
    with open_stage(tmp_path_factory.mktemp("airflow"), replica_set=replica_set, standalone=standalone) as stage:
        yield stage


@pytest.fixture
def before(stage: Stage) -> set[str]:
    """Complete sets before the test; and nothing left by the test before."""
    stage.wait_quiet()
    assert stage.marks() == []
    return stage.complete_sets()
