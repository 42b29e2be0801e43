"""Requests of the restore steps: what cannot be meant is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mongo_backup.agent.registry import STEPS
from mongo_backup.agent.restore_contract import Existing, PlanResult, RestoreParameters, RestoreStep, UserPolicy
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency


def test_the_defaults_touch_nothing_that_exists() -> None:
    parameters = RestoreParameters()
    assert (parameters.snapshot, parameters.existing, parameters.users) == ("latest", Existing.REFUSE, UserPolicy.SKIP)


@pytest.mark.parametrize(
    "fields",
    [
        {"rename": {"shop.*": "shop.orders"}},
        {"rename": {"shop": "shop2"}},
        {"rename": {"shop.a": "x.y", "shop.b": "x.y"}},
        {"shard_map": {"a": "x", "b": "x"}},
        {"existing": "overwrite"},
        {"targets": "other"},
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RestoreParameters.model_validate(fields)


def test_every_step_is_registered() -> None:
    assert {f"restore.{step}" for step in RestoreStep} == {name for name in STEPS if name.startswith("restore.")}
    for step in RestoreStep:
        assert callable(STEPS[f"restore.{step}"].call())


def test_the_plan_of_many_shards_fits_into_a_termination_message() -> None:
    plan = PlanResult(
        set_id="20261122T123947Z-2c2c56e3",
        manifest_id="f" * 64,
        topology=TopologyKind.SHARDED,
        components={f"shard-{n:04}": f"shard-{n:04}" for n in range(50)},
        namespaces=10**6,
        documents=10**12,
        bytes=10**15,
        dropped=10**6,
        consistency=Consistency.LOCKED,
        words=("x" * 1500,),
    )
    assert len(plan.model_dump_json().encode()) < 4096
