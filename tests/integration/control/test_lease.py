"""A held member while it is read: renewed, watched, let go at the last byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.integration.control.support import OTHER, OWNER, choose, connect, settings

from mongo_backup import journal
from mongo_backup.agent.contract import Held
from mongo_backup.connection import Connector
from mongo_backup.errors import ConflictError
from mongo_backup.journal import Journal
from mongo_backup.locks import lease, need
from mongo_backup.locks.fsync import is_locked
from mongo_backup.locks.hold import lock_members
from mongo_backup.locks.lease import LeaseKeeper, let_go_without_primary, own_entry, release_member
from mongo_backup.locks.need import lacks_primary
from mongo_backup.locks.release import release
from mongo_backup.locks.watch import release_expired
from mongo_backup.locks.window import read_window
from mongo_backup.objects.configuration import Consistency
from sandbox.component import SetSettings
from sandbox.replica_set import ReplicaSet
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration


def hold(connector: Connector, consistency: Consistency = Consistency.LOCKED, **fields: object) -> Held:
    topology, members = choose(connector, consistency)
    return lock_members(connector, topology=topology, members=members, settings=settings(**fields)).held[0]


class Demands:
    """Collects what a keeper demands."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.there = threading.Event()

    def __call__(self, reason: str) -> None:
        self.reasons.append(reason)
        self.there.set()

    def wait(self) -> str:
        assert self.there.wait(timeout=30), "nothing was demanded"
        return self.reasons[0]


def keeper(connector: Connector, held: Held, demands: Demands, *, longest_seconds: float = 3600) -> LeaseKeeper:
    return LeaseKeeper(
        connector,
        owner=OWNER,
        held=held,
        longest_seconds=longest_seconds,
        on_demand=demands,
        pause_seconds=0.1,
    )


@pytest.mark.parametrize("consistency", [Consistency.LOCKED, Consistency.SNAPSHOT])
def test_the_member_is_let_go_at_its_last_byte(single: Connector, consistency: Consistency) -> None:
    held, demands = hold(single, consistency), Demands()
    with keeper(single, held, demands) as keeping:
        released = keeping.release()
        assert released.intact
        assert released.seconds < 60
        assert keeping.release() == released
        assert not is_locked(single, held.host)
        assert read_window(single, held.host) == 300
        assert Journal(single).entries() == ()
    assert demands.reasons == []
    with pytest.raises(ConflictError, match="is not held by this run"):
        own_entry(single, owner=OWNER, held=held)


def test_the_lease_is_renewed_while_the_member_is_read(single: Connector) -> None:
    held = hold(single, lease_seconds=1.0)
    before = Journal(single).entries()[0]
    assert before.expires is not None
    with keeper(single, held, Demands()):

        def renewed() -> bool:
            now = Journal(single).entries()[0]
            assert now.alive
            assert now.expires is not None
            assert before.expires is not None
            return (now.expires - before.expires).total_seconds() > 2

        wait_until(renewed, what="the lease outlived its own length twice", timeout=30)
    wait_until(lambda: not Journal(single).entries()[0].alive, what="it ends without the keeper", timeout=30)


def test_max_lock_time_is_demanded(single: Connector) -> None:
    held, demands = hold(single), Demands()
    with keeper(single, held, demands, longest_seconds=0.1) as keeping:
        assert "max_lock_time of 0 s is over" in demands.wait()
        assert keeping.demand == demands.reasons[0]
        assert is_locked(single, held.host), "the keeper tells; whoever reads decides"
        keeping.release()
    assert len(demands.reasons) == 1


def test_a_lock_that_somebody_took_off_is_told(replica_set: ReplicaSet, single: Connector) -> None:
    held, demands = hold(single), Demands()
    with keeper(single, held, demands) as keeping:
        replica_set.client(host=held.host).admin.command("fsyncUnlock")
        assert "it is not locked" in demands.wait()
        assert not keeping.release().intact
    assert Journal(single).entries() == ()


def test_an_oplog_that_runs_out_is_demanded(single: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filling a real oplog takes longer than a test may: its length is made up."""
    monkeypatch.setattr(lease, "oplog_window", lambda *_: 0.5)
    held, demands = hold(single), Demands()
    with keeper(single, held, demands):
        assert "reaches back 0 s only" in demands.wait()


def test_only_the_owner_reads_a_held_member(single: Connector) -> None:
    held = hold(single)
    with pytest.raises(ConflictError, match="is not held by this run"):
        own_entry(single, owner=OTHER, held=held)
    entry = own_entry(single, owner=OWNER, held=held)
    assert release_member(single, entry=entry, held=held).intact
    assert not release_member(single, entry=entry, held=held).intact, "again: nothing is there, and nothing breaks"
    assert release(single, owner=OWNER) == ()


@pytest.fixture(scope="module")
def losing() -> Iterator[ReplicaSet]:
    """A set that loses members."""
    with ReplicaSet(settings=SetSettings(chaining=False, predictable_primary=False)) as deployment:
        yield deployment


def kill_primary(deployment: ReplicaSet) -> None:
    component = deployment.component
    component.mongod(component.primary()).kill()


def test_a_set_without_a_primary_gets_its_locked_voter_back(losing: ReplicaSet) -> None:
    """A locked member cannot write its vote down: nobody would be elected until it is open."""
    with connect(losing) as connector:
        held, demands = hold(connector), Demands()
        with keeper(connector, held, demands) as keeping:
            kill_primary(losing)
            assert "had no primary for" in demands.wait()
            assert is_locked(connector, held.host), "the keeper tells; whoever reads decides"
            assert keeping.release().intact
        losing.component.start()
        release(connector)


@pytest.mark.parametrize("who", ["the next dump", "the watchdog"])
def test_a_lock_that_nobody_reads_keeps_no_set_from_electing(
    losing: ReplicaSet, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal stands on the same set: its entries are read without a primary, and go when there is one."""
    monkeypatch.setattr(journal, "_ELECTION_SECONDS", 1.0)
    monkeypatch.setattr(need, "ELECTION_SECONDS", 1.0)
    with connect(losing) as connector:
        held = hold(connector)
        kill_primary(losing)
        wait_until(lambda: lacks_primary(connector, held.host, seconds=0), what="the set has lost its primary")
        if who == "the watchdog":
            assert release_expired(connector).released == (f"{held.component}: unlocked {held.host}",)
        else:
            let_go_without_primary(connector, owner=OWNER, held=held)
        assert not is_locked(connector, held.host)
        assert Journal(connector).entries() == (), "the others have elected one"
        losing.component.start()


def test_a_set_that_loses_another_secondary_gets_its_locked_one_back(
    losing: ReplicaSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(need, "MAJORITY_SECONDS", 0.0)
    monkeypatch.setattr(need, "_WHOLE_LOOK_SECONDS", 0.5)
    with connect(losing) as connector:
        held, demands = hold(connector), Demands()
        component = losing.component
        other = next(host for host in component.hosts if host not in (held.host, component.primary()))
        with keeper(connector, held, demands) as keeping:
            component.mongod(other).kill()
            assert "would have 1 healthy voting member with data, and w:majority writes need 2" in demands.wait()
            keeping.release()
        losing.component.start()
        release(connector)
