"""One run at a time on a target, by its journal: on a replica set and on a standalone."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from tests.integration.control.support import OTHER, OWNER, connect, release_everything

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.agent.lifetime import raise_on_signals
from mongo_backup.connection import Connector
from mongo_backup.errors import PreconditionError, TargetBusyError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.release import release, sweep
from mongo_backup.locks.target import at_work, fence, leased, occupy, refuse_others
from sandbox.deployment import Deployment
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(params=["replica_set", "standalone"])
def target(request: pytest.FixtureRequest) -> Iterator[Connector]:
    deployment: Deployment = request.getfixturevalue(request.param)
    with connect(deployment) as connector:
        yield connector
        release_everything(connector)


def entries(connector: Connector) -> list[JournalEntry]:
    return [entry for entry in Journal(connector).entries() if entry.kind is JournalKind.TARGET]


def wait_expired(connector: Connector) -> None:
    wait_until(lambda: not entries(connector)[0].alive, what="the lease has ended", timeout=10)


def test_two_runs_never_have_the_target_together(target: Connector) -> None:
    occupy(target, owner=OWNER, set_id="s1")
    occupy(target, owner=OWNER)
    (held,) = entries(target)
    assert (held.owner, held.set_id) == (OWNER, "s1")
    dag, _, run = OWNER.partition("/")
    for attempt in (lambda: occupy(target, owner=OTHER), lambda: refuse_others(target, OTHER)):
        with pytest.raises(TargetBusyError, match=rf"DAG {dag}, run {run}, since \d{{4}}-.* UTC"):
            attempt()
    refuse_others(target, OWNER)
    assert sweep(target, OWNER) == (), "the claim itself is nothing that was left behind"
    assert entries(target) == []
    occupy(target, owner=OTHER)


def test_the_same_run_of_another_airflow_is_another_run(target: Connector) -> None:
    here = RunIdentity(dag_id="backup.shop.daily", run_id="scheduled__1", started="2026-01-01T00:00:00.000001Z")
    there = here.model_copy(update={"started": "2026-01-01T00:00:00.000002Z"})
    assert here.name == there.name
    occupy(target, owner=here.owner)
    with pytest.raises(TargetBusyError, match=r"run scheduled__1 begun 2026-01-01T00:00:00.000001Z"):
        occupy(target, owner=there.owner)


def test_a_dead_run_is_taken_over_and_finds_the_target_taken(target: Connector) -> None:
    occupy(target, owner=OTHER, lease_seconds=0.2)
    wait_expired(target)
    occupy(target, owner=OWNER)
    assert [entry.owner for entry in entries(target)] == [OWNER]
    with pytest.raises(TargetBusyError):
        occupy(target, owner=OTHER)


def test_a_run_that_was_slow_takes_a_free_target_again(target: Connector) -> None:
    occupy(target, owner=OWNER, lease_seconds=0.2)
    wait_expired(target)
    assert release(target, expired_only=True) == (f"the target is free again of {OWNER}",)
    occupy(target, owner=OWNER)
    assert entries(target)[0].alive


def test_an_entry_that_was_renewed_meanwhile_is_left(target: Connector) -> None:
    occupy(target, owner=OWNER, lease_seconds=0.2)
    wait_expired(target)
    (old,) = entries(target)
    Journal(target).remove(old)
    occupy(target, owner=OWNER)
    assert not Journal(target).remove(old, expired_only=True)
    assert len(entries(target)) == 1


def test_the_lease_is_renewed_while_a_step_works(target: Connector) -> None:
    with at_work(target, owner=OWNER, lease_seconds=2, pause_seconds=0.2):
        first = entries(target)[0].expires
        wait_until(lambda: entries(target)[0].expires != first, what="the lease was renewed", timeout=10)
    with leased(target, OWNER, pause_seconds=0.2):
        first = entries(target)[0].expires
        wait_until(lambda: entries(target)[0].expires != first, what="the lease was renewed", timeout=10)


def test_a_step_that_lost_its_target_ends(target: Connector) -> None:
    """As after a machine that slept for longer than the lease."""

    def work() -> None:
        with at_work(target, owner=OWNER, pause_seconds=0.2):
            take = {"$set": {"owner": OTHER}}
            Journal(target)._collection.update_one({"kind": "target"}, take)
            time.sleep(30)  # the signal ends it

    former = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    raise_on_signals()
    try:
        with pytest.raises(TargetBusyError, match=OTHER.partition("/")[0]):
            work()
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
    assert [entry.owner for entry in entries(target)] == [OTHER]


def test_the_fence_lets_nobody_pass_whose_turn_is_over(target: Connector) -> None:
    occupy(target, owner=OWNER, set_id="s1")
    fence(target, owner=OWNER, token=1)
    fence(target, owner=OWNER, token=2)
    fence(target, owner=OWNER, token=2)
    with pytest.raises(PreconditionError, match="a newer try of this step"):
        fence(target, owner=OWNER, token=1)
    sweep(target, OWNER)
    with pytest.raises(PreconditionError, match="its run has ended"):
        fence(target, owner=OWNER, token=3)
    occupy(target, owner=OTHER)
    with pytest.raises(PreconditionError, match=OTHER):
        fence(target, owner=OWNER, token=3)
