"""The journal on a real primary, and the balancer that it puts back."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from pymongo.errors import AutoReconnect
from tests.integration.control.support import OTHER, OWNER, connect, release_everything

from mongo_backup.balancer import PENDING_SECONDS, Balancer, stop_balancer
from mongo_backup.connection import Connector
from mongo_backup.errors import ConfigurationError, ConflictError, PreconditionError, TransientError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.locks.release import release
from sandbox.cluster import ShardedCluster
from sandbox.mongos_standin import MongosStandIn
from sandbox.replica_set import Standalone
from sandbox.waiting import wait_until

pytestmark = pytest.mark.integration
LIMIT = timedelta(seconds=30)


def entry(owner: str = OWNER, **fields: object) -> JournalEntry:
    return JournalEntry.model_validate(
        {"kind": JournalKind.BALANCER, "owner": owner, "component": "config", "host": "*", "former": "full", **fields}
    )


def test_an_entry_is_kept_as_the_first_try_wrote_it(single: Connector) -> None:
    journal = Journal(single)
    first = journal.write(entry(owner="$owner", former="$former", lease_seconds=60))
    second = journal.write(entry(owner="$owner", former="off", lease_seconds=60))
    assert (second.former, second.created) == ("$former", first.created)
    assert first.expires is not None
    assert second.expires is not None
    assert first.created is not None
    assert second.expires >= first.expires
    assert (first.expires - first.created).total_seconds() == pytest.approx(60, abs=5)
    assert journal.entries("somebody else") == ()
    with pytest.raises(ConflictError, match=r"another run is at work on this deployment: DAG \$owner"):
        journal.write(entry(owner=OTHER))
    journal.remove(entry(owner=OTHER))
    assert len(journal.entries()) == 1, "nobody removes what is not his"
    journal.remove(first)
    journal.remove(first)
    assert journal.entries() == ()
    again = journal.write(entry(owner="$owner", lease_seconds=60))
    assert not journal.remove(first), "what a newer try of the same owner has written is not what was undone"
    assert journal.remove(again)


def test_a_lease_ends_and_is_renewed_but_not_beyond_its_longest_time(single: Connector) -> None:
    journal = Journal(single)
    journal.write(entry(lease_seconds=0.2))
    wait_until(lambda: not journal.entries()[0].alive, what="the lease has ended", timeout=10)
    assert journal.renew(OTHER) == 0
    assert journal.renew(OWNER) == 1
    release_entries(journal)
    held = journal.write(entry(lease_seconds=600, longest_seconds=0.2))
    wait_until(lambda: not journal.entries()[0].alive, what="the longest time is over", timeout=10)
    journal.renew(OWNER)
    assert journal.entries()[0].expires == held.expires
    release_entries(journal)


def release_entries(journal: Journal) -> None:
    for each in journal.entries():
        journal.remove(each)


def test_a_standalone_has_a_journal_and_no_balancer(standalone: Standalone) -> None:
    with connect(standalone) as connector:
        journal = Journal(connector)
        written = journal.write(entry(lease_seconds=60))
        assert journal.entries() == (written,)
        journal.remove(written)
        assert journal.entries() == ()
        with pytest.raises(ConfigurationError, match="no balancer"):
            Balancer(connector)


def test_the_balancer_stops_and_goes_back(cluster: Connector) -> None:
    journal, balancer = Journal(cluster), Balancer(cluster)
    assert balancer.status().mode == "full"
    for _ in range(2):  # the second try finds it off, and still knows what it was
        result = stop_balancer(cluster, journal, owner=OWNER, stop_timeout=LIMIT)
        assert (result.former, result.now) == ("full", "off")
    assert balancer.status().mode == "off"
    with pytest.raises(ConflictError, match="run manual__1, since"):
        stop_balancer(cluster, journal, owner=OTHER, stop_timeout=LIMIT)
    assert balancer.status().mode == "off"
    assert release(cluster, owner=OTHER) == ()
    assert release(cluster, owner=OWNER) == ("put the balancer back from off to full",)
    assert balancer.status().mode == "full"
    assert release(cluster, owner=OWNER) == ()


def test_a_balancer_that_was_off_stays_off(cluster: Connector) -> None:
    balancer = Balancer(cluster)
    balancer.set_mode("off")
    try:
        assert stop_balancer(cluster, Journal(cluster), owner=OWNER, stop_timeout=LIMIT).former == "off"
        assert release(cluster, owner=OWNER) == ("the balancer is off, as it was",)
        assert balancer.status().mode == "off"
    finally:
        balancer.set_mode("full")


def test_what_somebody_else_did_to_the_balancer_meanwhile_stays(cluster: Connector) -> None:
    journal, balancer = Journal(cluster), Balancer(cluster)
    try:
        balancer.set_mode("off")
        stop_balancer(cluster, journal, owner=OWNER, stop_timeout=LIMIT)
        balancer.set_mode("full")
        words = "left the balancer at full: somebody changed it after us (we had found it off)"
        assert release(cluster, owner=OWNER) == (words,)
        assert balancer.status().mode == "full"
    finally:
        balancer.set_mode("full")


def test_a_stop_that_comes_after_all_is_undone(cluster: Connector) -> None:
    """As from a network that was cut: nobody waits for its answer any more when it reaches the server."""
    journal, balancer = Journal(cluster), Balancer(cluster)
    journal.write(entry())
    late = threading.Timer(1, balancer.set_mode, ["off"])
    late.start()
    try:
        assert release(cluster, owner=OWNER) == ("put the balancer back from off to full",)
        assert balancer.status().mode == "full"
    finally:
        late.join()
        balancer.set_mode("full")


def test_an_answered_stop_is_not_waited_for(cluster: Connector) -> None:
    journal, balancer = Journal(cluster), Balancer(cluster)
    stop_balancer(cluster, journal, owner=OWNER, stop_timeout=LIMIT)
    balancer.set_mode("full")
    began = time.monotonic()
    assert release(cluster, owner=OWNER) == ("the balancer is full, as it was",)
    assert time.monotonic() - began < PENDING_SECONDS


def test_what_a_dead_run_left_is_taken_over_with_its_former_mode(cluster: Connector) -> None:
    journal, balancer = Journal(cluster), Balancer(cluster)
    journal.write(entry(owner=OTHER, lease_seconds=0.01))
    balancer.set_mode("off")
    wait_until(lambda: not journal.entries()[0].alive, what="the lease has ended", timeout=10)
    result = stop_balancer(cluster, journal, owner=OWNER, stop_timeout=LIMIT)
    assert result.former == "full", "not the off that the dead run had made"
    assert [each.owner for each in journal.entries()] == [OWNER]


def test_a_round_that_does_not_end_in_time(cluster: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that hangs cannot be had at will: the server's answer to `status` is made up here, nothing else."""
    real = Balancer.status
    monkeypatch.setattr(Balancer, "status", lambda self: real(self).model_copy(update={"in_round": True}))
    with pytest.raises(PreconditionError, match=r"still running after 1 s"):
        stop_balancer(cluster, Journal(cluster), owner=OWNER, stop_timeout=timedelta(seconds=1))
    monkeypatch.undo()
    assert Balancer(cluster).status().mode == "full"
    assert Journal(cluster).entries() == ()


def test_a_stop_whose_answer_is_lost_may_still_come(cluster: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the server after the undo: the journal still says so, and the next to look puts it right."""
    real = Balancer._command
    late: list[str] = []

    def lose(self: Balancer, name: str, **options: object) -> dict[str, object]:
        if name == "Stop" and not late:
            late.append(name)
            raise AutoReconnect("connection closed")
        return real(self, name, **options)

    monkeypatch.setattr(Balancer, "_command", lose)
    with pytest.raises(TransientError, match="stopping the balancer"):
        stop_balancer(cluster, Journal(cluster), owner=OWNER, stop_timeout=LIMIT)
    Balancer(cluster).set_mode("off")
    assert release(cluster, owner=OWNER) == ("put the balancer back from off to full",)
    assert Balancer(cluster).status().mode == "full"


def test_through_a_router_its_own_commands_are_used(sharded_cluster: ShardedCluster) -> None:
    with (
        MongosStandIn(sharded_cluster.hosts("config")) as router,
        connect(sharded_cluster, mongos=[router.host]) as connector,
    ):
        result = stop_balancer(connector, Journal(connector), owner=OWNER, stop_timeout=LIMIT)
        assert (result.former, result.now) == ("full", "off")
        config = sharded_cluster.admin_client("config")
        assert config.admin.command("_configsvrBalancerStatus")["mode"] == "off"
        release_everything(connector)
        assert config.admin.command("_configsvrBalancerStatus")["mode"] == "full"
        assert {"balancerStatus", "balancerStop", "balancerStart"} <= set(router.commands)
        assert not [name for name in router.commands if name.startswith("_configsvr")]
