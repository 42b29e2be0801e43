"""What can be known before anything is touched: privileges, states, locks, other runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.integration.control.support import OTHER, OWNER, all_locked, choose, connect, settings

from mongo_backup.connection import Connector
from mongo_backup.errors import ConfigurationError, ConflictError, PreconditionError, TransientError
from mongo_backup.locks.hold import lock_members
from mongo_backup.locks.release import release
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.discover import discover
from mongo_backup.topology.preflight import preflight
from sandbox.cluster import ShardedCluster
from sandbox.component import Member, SetSettings
from sandbox.deployment import Deployment
from sandbox.mongos_standin import MongosStandIn
from sandbox.replica_set import ReplicaSet, Standalone
from sandbox.users import BACKUP_ROLE
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


@contextmanager
def revoked(deployment: Deployment, privileges: list[dict[str, Any]]) -> Iterator[None]:
    """The backup role without some privileges, on every component."""
    admins = [deployment.client(component=name).admin for name in deployment.components]
    for admin in admins:
        admin.command("revokePrivilegesFromRole", BACKUP_ROLE, privileges=privileges)
    try:
        yield
    finally:
        for admin in admins:
            admin.command("grantPrivilegesToRole", BACKUP_ROLE, privileges=privileges)


def look(connector: Connector, consistency: Consistency = Consistency.LOCKED) -> None:
    preflight(connector, discover(connector), owner=OWNER, consistency=consistency)


def test_all_is_well(cluster: Connector, single: Connector, standalone: Standalone) -> None:
    for connector, names in ((cluster, {"config", "shard0", "shard1"}), (single, {"rs0"})):
        found = preflight(connector, discover(connector), owner=OWNER, consistency=Consistency.LOCKED)
        assert found.cluster_time_supported
        assert set(found.facts) == names
        assert all(facts.oplog_window_seconds for facts in found.facts.values())
    with connect(standalone) as connector:
        alone = preflight(connector, discover(connector), owner=OWNER, consistency=Consistency.LOCKED)
        assert not alone.cluster_time_supported


def test_missing_privileges_are_named_for_every_component(sharded_cluster: ShardedCluster, cluster: Connector) -> None:
    cluster_actions = {"resource": {"cluster": True}, "actions": ["internal", "fsync", "appendOplogNote"]}
    journal = {"resource": {"db": "admin", "collection": "mongo_backup_journal"}, "actions": ["insert"]}
    with revoked(sharded_cluster, [cluster_actions, journal]):
        with pytest.raises(ConfigurationError, match="3 problems were found") as error:
            look(cluster)
        config, *shards = error.value.message.splitlines()[1:]
        for line in (config, *shards):
            assert "fsync on the cluster" in line
        assert "internal on the cluster" in config
        assert "insert on admin.mongo_backup_journal" in config
        assert "config:" in config
        assert all("internal" not in line and "journal" not in line for line in shards)
        with pytest.raises(ConfigurationError) as error:
            look(cluster, Consistency.SNAPSHOT)
        assert "fsync" not in error.value.message, "without locks nobody needs it"


def test_from_mongodb_8_shards_serve_not_everybody(cluster: Connector) -> None:
    """The server is older, and knows no such action: that it is of 8.0 is made up here, nothing else."""
    newer = discover(cluster).model_copy(update={"fcv": "8.0"})
    with pytest.raises(ConfigurationError) as error:
        preflight(cluster, newer, owner=OWNER, consistency=Consistency.LOCKED)
    assert [line.partition(": the backup user may not ")[::2] for line in error.value.message.splitlines()[1:]] == [
        (f"- {shard}", "issueDirectShardOperations on the cluster: grant it (docs/reference/privileges.md)")
        for shard in ("shard0", "shard1")
    ]
    one = newer.model_copy(update={"components": newer.components[:2]})
    assert preflight(cluster, one, owner=OWNER, consistency=Consistency.LOCKED).cluster_time_supported


def test_through_a_router_internal_is_not_needed(sharded_cluster: ShardedCluster) -> None:
    internal = [{"resource": {"cluster": True}, "actions": ["internal"]}]
    with (
        revoked(sharded_cluster, internal),
        MongosStandIn(sharded_cluster.hosts("config")) as router,
        connect(sharded_cluster, mongos=[router.host]) as connector,
    ):
        look(connector)


def test_other_runs_and_foreign_locks_are_told(replica_set: ReplicaSet, single: Connector) -> None:
    topology, members = choose(single)
    lock_members(single, topology=topology, members=members, settings=settings(owner=OTHER))
    with pytest.raises(ConflictError, match="another run is at work"):
        look(single)
    release(single, owner=OTHER)
    foreign = members[0].host
    admin = replica_set.client(host=foreign).admin
    admin.command("fsync", lock=True)
    try:
        with pytest.raises(ConflictError, match=f"{foreign} is fsyncLocked by somebody else"):
            look(single)
        assert all_locked(single, topology) == [foreign]
    finally:
        assert admin.command("fsyncUnlock")["lockCount"] == 0


def test_members_of_every_kind_and_a_set_that_falls_apart() -> None:
    parts = [
        Member(),
        Member(tags={"for": "backup"}),
        Member(hidden=True),
        Member(delay_seconds=1, hidden=True, votes=0),
        Member(arbiter=True),
    ]
    quick = SetSettings(election_timeout_ms=2000)
    with ReplicaSet(members=parts, settings=quick) as deployment, connect(deployment, timeout_seconds=2) as connector:
        deployment.wait_for_replication()  # the users too
        primary, tagged, hidden, delayed, arbiter = deployment.hosts()
        found = {member.host: member for member in discover(connector).components[0].members}
        assert [found[host].state for host in (primary, tagged, arbiter)] == ["PRIMARY", "SECONDARY", "ARBITER"]
        assert (found[hidden].hidden, found[hidden].priority) == (True, 0)
        assert (found[delayed].delay_seconds, found[delayed].votes) == (1, 0)
        assert (found[arbiter].arbiter, found[tagged].tags) == (True, {"for": "backup"})

        # 4 votes, 3 of them with data: every one of the three is needed
        assert choose_one(connector) == (hidden, "window")
        assert choose_one(connector, tags={"for": "backup"}) == (tagged, "window")
        assert choose_one(connector, preferred=(delayed, tagged)) == (tagged, "window")
        assert choose_one(connector, exclude=(tagged, hidden)) == (primary, "window")

        deployment.kill_member(hidden)
        deployment.component.primary()
        wait_down(connector, hidden)
        assert choose_one(connector) == (tagged, "window")
        look(connector)

        deployment.kill_member(tagged)
        wait_for_no_primary(connector)
        with pytest.raises(TransientError, match="rs0 has no primary"):
            look(connector)


def choose_one(connector: Connector, **preference: Any) -> tuple[str, str]:
    member = choose(connector, **preference)[1][0]
    return member.host, member.mode.value


def wait_down(connector: Connector, host: str) -> None:
    def down() -> bool:
        return any(m.host == host and m.state == "DOWN" for m in discover(connector).components[0].members)

    wait_until(down, what=f"{host} is seen as down", timeout=30)


def wait_for_no_primary(connector: Connector) -> None:
    wait_until(lambda: discover(connector).components[0].primary is None, what="the primary steps down", timeout=30)


def test_a_member_that_lags_is_not_chosen(replica_set: ReplicaSet, single: Connector) -> None:
    members = discover(single).components[0].members
    sources = {member.sync_source for member in members}
    lagging = next(m.host for m in members if m.state == "SECONDARY" and m.host not in sources)  # feeds nobody
    other = next(host for host in replica_set.secondaries("rs0") if host != lagging)
    admin = replica_set.client(host=lagging).admin
    admin.command("fsync", lock=True)  # it applies nothing any more
    try:
        primary = replica_set.client().lag.items

        def lags() -> bool:
            primary.insert_one({})
            lag = {m.host: m.lag_seconds for m in discover(single).components[0].members}
            return (lag[lagging] or 0) > 3 and (lag[other] or 0) <= 1

        wait_until(lags, what="the locked member alone is behind", timeout=60)
        host, mode = choose_one(single, preferred=(lagging,), max_lag_seconds=2.5)
        assert (host, mode) == (other, "window"), "and locking the other one too would stop majority writes"
    finally:
        admin.command("fsyncUnlock")
    replica_set.wait_for_replication()


@pytest.mark.parametrize(("ahead", "words"), [(3600, "3600 s ahead of"), (-3600, "3600 s behind")])
def test_a_clock_that_is_wrong(single: Connector, monkeypatch: pytest.MonkeyPatch, ahead: float, words: str) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + ahead)
    with pytest.raises(PreconditionError, match=rf"rs0: this machine's clock is {words}.*NTP"):
        look(single)


def test_a_clock_that_is_a_little_wrong_is_told(
    single: Connector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 100)
    look(single)
    assert "rs0: this machine's clock is 100 s ahead of" in caplog.text
