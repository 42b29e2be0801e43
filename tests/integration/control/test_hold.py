"""Members of real clusters held at one cluster time, under writers; and nothing held after any failure."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from bson import Timestamp
from tests.integration.control.support import (
    OTHER,
    OWNER,
    all_locked,
    choose,
    connect,
    locked,
    release_everything,
    settings,
)

from mongo_backup.agent.contract import LockResult
from mongo_backup.cluster_time import fix_cluster_time
from mongo_backup.connection import Connector
from mongo_backup.errors import ConflictError, InterruptedByRequestError, PreconditionError, TransientError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks import fsync, hold
from mongo_backup.locks.fsync import is_locked
from mongo_backup.locks.hold import lock_config_server, lock_members
from mongo_backup.locks.probe import MemberProbe
from mongo_backup.locks.release import release
from mongo_backup.locks.together import lock_all
from mongo_backup.locks.window import read_window, set_window
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology import replica_set as members_of_sets
from mongo_backup.topology.discover import discover
from mongo_backup.topology.model import ChosenMember, ReadMode
from sandbox.cluster import ShardedCluster
from sandbox.ports import lease_port
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.waiting import wait_until
from sandbox.writers import COUNTER, COUNTER_ID, FIRST, SECOND, STEPS, ChainState, ChainWriter

pytestmark = pytest.mark.integration

LONGEST_SKEW_SECONDS = 2.0
"""The goal is 0.25 s; a machine full of tests gets some more."""


def read_at(connector: Connector, members: tuple[ChosenMember, ...], point: ClusterTime) -> ChainState:
    """The chain as the chosen members of both shards have it at the cluster time."""
    values: list[list[int]] = []
    counters: list[int] = []
    concern = {"level": "snapshot", "atClusterTime": Timestamp(point.t, point.i)}
    for name, component in ((FIRST, "shard0"), (SECOND, "shard1")):
        host = next(member.host for member in members if member.component == component)
        find = functools.partial(connector.member(host)[name].command, readConcern=concern)
        steps = find({"find": STEPS, "sort": {"_id": 1}, "projection": {"_id": 1}, "batchSize": 100_000})
        values.append([each["_id"] for each in steps["cursor"]["firstBatch"]])
        counter = find({"find": COUNTER, "filter": {"_id": COUNTER_ID}})["cursor"]["firstBatch"]
        counters.append(counter[0]["n"])
    return ChainState(first=values[0], first_counter=counters[0], second=values[1], second_counter=counters[1])


@pytest.mark.parametrize("consistency", [Consistency.LOCKED, Consistency.SNAPSHOT])
def test_the_chain_is_whole_at_the_cluster_time(
    sharded_cluster: ShardedCluster, cluster: Connector, consistency: Consistency
) -> None:
    with ChainWriter(sharded_cluster) as writer:
        writer.wait_for(20)
        for _ in range(3):
            topology, members = choose(cluster, consistency)
            lock_config_server(cluster, topology=topology, members=members, settings=settings())
            before = writer.written
            result = lock_members(cluster, topology=topology, members=members, settings=settings())
            assert result.cluster_time is not None
            assert result.consistency is consistency
            assert [held.component for held in result.held] == ["config", "shard0", "shard1"]
            lock = consistency is Consistency.LOCKED
            assert locked(cluster, members) == ([member.host for member in members] if lock else [])
            writer.wait_for(5)
            state = read_at(cluster, members, result.cluster_time)
            state.check()
            assert before <= len(state.second), "all that was written before is older than T"
            assert len(state.second) < writer.written, "the writers went on"
            if lock:
                assert result.skew_seconds is not None
                assert result.skew_seconds < LONGEST_SKEW_SECONDS
                assert len(release(cluster, owner=OWNER, components=["config"])) == 1
                assert len(locked(cluster, members)) == 2
            release(cluster, owner=OWNER)
            assert locked(cluster, members) == []
            assert Journal(cluster).entries() == ()


def test_a_locked_member_takes_new_logins_and_is_unlocked_by_another_process(
    replica_set: ReplicaSet, single: Connector
) -> None:
    topology, members = choose(single)
    with ChainWriter(replica_set) as writer:
        writer.wait_for(5)
        lock_members(single, topology=topology, members=members, settings=settings())
        writer.wait_for(20)
        for _ in range(5):
            with connect(replica_set) as fresh:
                assert fresh.member(members[0].host)[FIRST][COUNTER].find_one() is not None
        with connect(replica_set) as fresh:
            assert release(fresh, owner=OWNER) == (f"rs0: unlocked {members[0].host}",)
            assert release(fresh, owner=OWNER) == ()
        assert not is_locked(single, members[0].host)


def test_a_foreign_lock_is_refused_and_left(sharded_cluster: ShardedCluster, cluster: Connector) -> None:
    topology, members = choose(cluster)
    foreign = members[-1].host
    admin = sharded_cluster.client(host=foreign).admin
    admin.command("fsync", lock=True)
    try:
        with pytest.raises(ConflictError, match=f"{foreign} is fsyncLocked by somebody else"):
            lock_members(cluster, topology=topology, members=members, settings=settings())
        assert all_locked(cluster, topology) == [foreign]
        assert Journal(cluster).entries() == ()
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0


def after_cluster_time(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], None]) -> None:
    """Let something happen between T and the locks: `act` gets the number of the attempt."""
    attempts: list[ClusterTime] = []

    def then(*args: Any, **kwargs: Any) -> ClusterTime:
        attempts.append(fix_cluster_time(*args, **kwargs))
        act(len(attempts))
        return attempts[-1]

    monkeypatch.setattr(hold, "fix_cluster_time", then)


def test_a_lock_of_somebody_else_at_the_same_moment(
    sharded_cluster: ShardedCluster, cluster: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, members = choose(cluster)
    foreign = members[-1].host
    admin = sharded_cluster.client(host=foreign).admin
    after_cluster_time(monkeypatch, lambda _: admin.command("fsync", lock=True))
    try:
        with pytest.raises(ConflictError, match="at the same moment"):
            lock_members(cluster, topology=topology, members=members, settings=settings())
        assert all_locked(cluster, topology) == [foreign]
        assert Journal(cluster).entries() == ()
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0, "exactly the foreign lock was left"


def test_a_lock_that_somebody_took_while_we_prepared_stays_whatever_fails(
    replica_set: ReplicaSet, single: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The member does not reach the cluster time any more; the undo must not take that lock for ours."""
    topology, members = choose(single)
    admin = replica_set.client(host=members[0].host).admin

    def lock(_attempt: int) -> None:
        admin.command("fsync", lock=True)
        raise TransientError(f"{members[0].host} is behind the cluster time")

    after_cluster_time(monkeypatch, lock)
    try:
        with pytest.raises(TransientError, match="is behind the cluster time"):
            lock_members(single, topology=topology, members=members, settings=settings())
        assert all_locked(single, topology) == [members[0].host]
        assert Journal(single).entries() == ()
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0


def test_a_member_that_hangs_leaves_the_others_unlocked_and_is_released_later(
    replica_set: ReplicaSet, single: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, members = choose(single)
    host = members[0].host
    monkeypatch.setattr(fsync, "ANSWER_SECONDS", 1.5)
    monkeypatch.setattr(fsync, "LOCK_SECONDS", 1.5)
    monkeypatch.setattr(members_of_sets, "_ANSWER_SECONDS", 1.5)

    def pause_and_lock(*args: Any) -> list[float]:
        replica_set.pause_member(host)
        return lock_all(*args)

    monkeypatch.setattr(hold, "lock_all", pause_and_lock)
    try:
        with pytest.raises(TransientError, match=host):
            lock_members(single, topology=topology, members=members, settings=settings())
        entries = Journal(single).entries(OWNER)
        assert [entry.host for entry in entries] == [host], "what could not be undone stays in the journal"
        with pytest.raises(TransientError, match="stay in the journal"):
            release(single, owner=OWNER)
    finally:
        replica_set.resume_member(host)
    replica_set.component.wait_settled()
    wait_until(lambda: release(single, owner=OWNER), what="released", retry_on=(TransientError,), timeout=30)
    assert all_locked(single, topology) == []
    assert Journal(single).entries() == ()


@pytest.mark.parametrize("error", [InterruptedByRequestError("ended by SIGTERM"), KeyboardInterrupt()])
def test_nothing_is_left_when_the_step_is_ended_under_the_locks(
    cluster: Connector, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    topology, members = choose(cluster)
    seen: list[list[str]] = []

    def end(_probe: MemberProbe, _point: ClusterTime) -> None:
        seen.append(locked(cluster, members))
        raise error

    monkeypatch.setattr(MemberProbe, "unreadable", end)
    with pytest.raises(type(error)):
        lock_members(cluster, topology=topology, members=members, settings=settings())
    assert len(seen[0]) == 3, "all were locked when it happened"
    assert all_locked(cluster, topology) == []
    assert Journal(cluster).entries() == ()


def test_a_collection_that_changes_between_listing_and_lock_costs_an_attempt(
    sharded_cluster: ShardedCluster, cluster: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, members = choose(cluster)
    shop = sharded_cluster.client(component="shard0").churn

    def create(attempt: int) -> None:
        if attempt == 1:
            shop.create_collection("new")
            sharded_cluster.components["shard0"].wait_for_replication()

    after_cluster_time(monkeypatch, create)
    try:
        result = lock_members(cluster, topology=topology, members=members, settings=settings())
        assert result.attempts == 2
        assert len(locked(cluster, members)) == 3
    finally:
        release(cluster, owner=OWNER)
        shop.client.drop_database("churn")


def test_a_collection_that_cannot_be_read_at_the_cluster_time_is_named(
    replica_set: ReplicaSet, single: Connector
) -> None:
    topology, members = choose(single)
    churn = replica_set.client().churn
    try:
        old = fix_cluster_time(single, topology=topology, members=members)
        churn.create_collection("newer")
        churn.create_collection("capped", capped=True, size=4096)
        replica_set.wait_for_replication()
        probe = MemberProbe(single, members[0])
        probe.digest()
        assert "churn.newer" in (probe.unreadable(old) or "")
        assert probe.unreadable(ClusterTime(t=old.t - 100_000, i=1)) is not None
        now = fix_cluster_time(single, topology=topology, members=members)
        assert probe.unreadable(now) is None
    finally:
        churn.client.drop_database("churn")


def test_collections_that_never_stand_still_are_told(
    replica_set: ReplicaSet, single: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    topology, members = choose(single)
    churn = replica_set.client().churn

    def create(attempt: int) -> None:
        churn.create_collection(f"c{attempt}")
        replica_set.wait_for_replication()

    after_cluster_time(monkeypatch, create)
    try:
        with pytest.raises(TransientError, match="in 5 attempts, because collections changed each time"):
            lock_members(single, topology=topology, members=members, settings=settings())
        assert all_locked(single, topology) == []
        # a database that is not backed up may change as it likes
        quiet = settings(exclude=("churn.*",))
        assert lock_members(single, topology=topology, members=members, settings=quiet).attempts == 1
    finally:
        release(single, owner=OWNER)
        churn.client.drop_database("churn")


def test_another_run_is_refused_while_alive_and_taken_over_when_dead(single: Connector) -> None:
    topology, members = choose(single)
    both = {"topology": topology, "members": members}
    lock_members(single, **both, settings=settings(owner=OTHER, lease_seconds=1.0))
    with pytest.raises(ConflictError, match="another run is at work"):
        lock_members(single, **both, settings=settings())
    assert len(locked(single, members)) == 1
    assert release(single, expired_only=True) == ()
    wait_until(lambda: not Journal(single).entries()[0].alive, what="the lease has ended", timeout=20)
    lock_members(single, **both, settings=settings())
    assert [entry.owner for entry in Journal(single).entries()] == [OWNER]
    assert locked(single, members) == [members[0].host]
    release(single, owner=OWNER)
    assert locked(single, members) == [], "locked once, not on top of the dead run's lock"


def test_a_second_try_of_the_same_run_locks_once(single: Connector) -> None:
    topology, members = choose(single)
    for _ in range(2):
        lock_members(single, topology=topology, members=members, settings=settings())
    assert release(single, owner=OWNER) == (f"rs0: unlocked {members[0].host}",)
    assert locked(single, members) == []


def healthy(connector: Connector, host: str) -> bool:
    """Whether the set takes the member for healthy: from here it may be gone for some heartbeats already."""
    members = (member for component in discover(connector).components for member in component.members)
    return next(member.healthy for member in members if member.host == host)


def test_after_a_restart_of_the_member_nothing_is_locked(replica_set: ReplicaSet, single: Connector) -> None:
    topology, members = choose(single)
    host = members[0].host
    lock_members(single, topology=topology, members=members, settings=settings(owner=OTHER, lease_seconds=0.5))
    replica_set.kill_member(host)
    try:
        with pytest.raises(TransientError, match="1 of 1 could not be undone"):
            release(single, owner=OTHER)
        assert release(single, owner=OTHER, tolerant=True) == ()
        wait_until(lambda: not Journal(single).entries()[0].alive, what="the lease has ended", timeout=20)

        wait_until(lambda: not healthy(single, host), what="the set knows that it is down", timeout=60)
        topology, members = choose(single)
        result = lock_members(single, topology=topology, members=members, settings=settings())
        assert result.consistency is Consistency.SNAPSHOT, "two of three are left: no lock"
        assert len(release(single, owner=OWNER)) == 1
        assert [entry.host for entry in Journal(single).entries()] == [host], "it stays until the member is back"
    finally:
        replica_set.start_member(host)

    admin = replica_set.client(host=host).admin
    admin.command("fsync", lock=True)  # somebody's own, after the restart
    try:
        assert release(single, owner=OTHER) == (f"rs0: {host} was restarted, its lock is gone",)
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0


def test_a_host_that_has_left_its_set_does_not_stay_in_the_journal(cluster: Connector) -> None:
    with lease_port() as port:
        lost = {"kind": JournalKind.FSYNC_LOCK, "owner": OTHER, "host": port.address, "process": "1"}
        for component in ("config", "shard1", "not-declared"):
            Journal(cluster).write(JournalEntry.model_validate({**lost, "component": component}))
        with pytest.raises(TransientError, match="1 of 3 could not be undone"):
            release(cluster, owner=OTHER)
        left = Journal(cluster).entries()
    assert [entry.component for entry in left] == ["not-declared"], "of which nobody knows the members"
    Journal(cluster).remove(left[0])


def test_the_history_window_goes_back_unless_somebody_changed_it(single: Connector) -> None:
    topology, members = choose(single, Consistency.SNAPSHOT)
    host = members[0].host
    set_window(single, host, 17)
    try:
        result = lock_members(single, topology=topology, members=members, settings=settings())
        assert [held.mode for held in result.held] == ["window"]
        assert read_window(single, host) == 3600
        assert release(single, owner=OWNER) == (f"rs0: set the history window of {host} back from 3600 s to 17 s",)
        assert read_window(single, host) == 17
        lock_members(single, topology=topology, members=members, settings=settings())
        set_window(single, host, 42)
        assert "somebody changed it after us" in release(single, owner=OWNER)[0]
        assert read_window(single, host) == 42
    finally:
        set_window(single, host, 300)


def test_a_set_of_two_is_never_locked() -> None:
    with ReplicaSet(members=2) as deployment, connect(deployment) as connector:
        topology, members = choose(connector)
        assert members[0].mode.value == "window"
        forced = [members[0].model_copy(update={"mode": ReadMode.LOCK})]  # chosen while there were more members
        result = lock_members(connector, topology=topology, members=forced, settings=settings())
        assert (result.consistency, [held.mode for held in result.held]) == (Consistency.SNAPSHOT, ["window"])
        release_everything(connector)
        with pytest.raises(PreconditionError, match="w:majority writes need 2"):
            lock_members(connector, topology=topology, members=forced, settings=settings(when_unsafe="fail"))
        assert all_locked(connector, topology) == []
        assert read_window(connector, members[0].host) == 300


def test_a_standalone_is_not_held(standalone: Standalone) -> None:
    with connect(standalone) as connector:
        topology, members = choose(connector)
        result = lock_members(connector, topology=topology, members=members, settings=settings())
    assert result == LockResult(consistency=Consistency.NONE)


def test_a_member_that_does_not_get_there_is_named(replica_set: ReplicaSet, single: Connector) -> None:
    topology, members = choose(single)
    admin = replica_set.client(host=members[0].host).admin
    admin.command("fsync", lock=True)  # it applies nothing any more
    try:
        with pytest.raises(TransientError, match=f"{members[0].host} is .* s behind the cluster time after 1 s"):
            fix_cluster_time(single, topology=topology, members=members, limit_seconds=1)
    finally:
        admin.command("fsyncUnlock")
