"""What the watchdog undoes on a real deployment, and what it leaves alone."""

from __future__ import annotations

import logging

import pytest
from tests.integration.control.support import OTHER, OWNER, binding, choose, connect, settings

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.agent.release_contract import WatchRequest, WatchResult
from mongo_backup.agent.steps.release import expired
from mongo_backup.connection import Connector
from mongo_backup.errors import TransientError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.hold import lock_members
from mongo_backup.locks.watch import release_expired
from mongo_backup.locks.window import read_window, set_window
from sandbox.objects import credentials
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


def wait_expired(connector: Connector, owner: str) -> None:
    def over() -> bool:
        return not any(entry.alive for entry in Journal(connector).entries(owner))

    wait_until(over, what="the leases have ended", timeout=10)


def test_dead_living_and_foreign(replica_set: ReplicaSet, single: Connector, caplog: pytest.LogCaptureFixture) -> None:
    """One member is locked by a dead run, one by a person; a living run holds the target."""
    caplog.set_level(logging.INFO)
    topology, members = choose(single)
    lock_members(single, topology=topology, members=members, settings=settings(owner=OTHER, lease_seconds=0.5))
    wait_expired(single, OTHER)
    Journal(single).write(JournalEntry(kind=JournalKind.TARGET, owner=OWNER, component="target", host="*"))
    foreign = next(
        each.host
        for each in topology.components[0].members
        if each.state == "SECONDARY" and each.host != members[0].host
    )
    person = replica_set.client(host=foreign)
    person.admin.command({"fsync": 1, "lock": True})
    try:
        found = release_expired(single)
    finally:
        person.admin.command("fsyncUnlock")
    assert found.released == (f"rs0: unlocked {members[0].host}",)
    assert found.foreign == (foreign,)
    (alive,) = found.alive
    assert alive.startswith(f"the target, held by {OWNER} since")
    assert [entry.owner for entry in Journal(single).entries()] == [OWNER]
    for words in ("Undone, its run is dead", "Left alone, its run is alive", "Left alone, somebody else locked it"):
        assert words in caplog.text


def test_a_window_that_somebody_changed_is_left(single: Connector, replica_set: ReplicaSet) -> None:
    host = replica_set.component.hosts[1]
    former = read_window(single, host)
    entry = JournalEntry(
        kind=JournalKind.HISTORY_WINDOW,
        owner=OWNER,
        component="rs0",
        host=host,
        former=former,
        value=former + 77,
        lease_seconds=0.1,
    )
    Journal(single).write(entry)
    wait_expired(single, OWNER)
    set_window(single, host, former + 1)
    try:
        (words,) = release_expired(single).released
        assert f"left the history window of {host} at {former + 1} s: somebody changed it after us" in words
        assert read_window(single, host) == former + 1
    finally:
        set_window(single, host, former)


def test_as_a_step_on_a_standalone(standalone: Standalone) -> None:
    run = RunIdentity(dag_id="release_locks", run_id="scheduled__1")
    request = WatchRequest(run=run, target=binding(standalone))
    assert expired(request, credentials(standalone)) == WatchResult()
    away = WatchRequest(run=run, target=binding(standalone, hosts=["127.0.0.1:1"]))
    with pytest.raises(TransientError, match=r"the journal of 127\.0\.0\.1:1 cannot be reached"):
        expired(away, credentials(standalone))
    with connect(standalone) as connector:
        assert Journal(connector).entries() == ()
