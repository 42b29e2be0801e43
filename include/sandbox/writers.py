"""Writers that keep a deployment busy while it is backed up, and tell afterwards what must be true.

The chain proves exactness. For n = 1, 2, ... the writer inserts n into the first collection and then, after the
majority has it, into the second one, which lies on another shard. So at any one cluster time the second holds
1..m and the first 1..m or 1..m+1; a backup that is no single cluster time breaks this.

Cluster times of two shards only follow each other when somebody passes `$clusterTime` along, as a mongos does;
here the writer does it, with `ClientSession.advance_cluster_time`.
"""

from __future__ import annotations

import itertools
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from pymongo import WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from mongo_backup.errors import VerificationError
from sandbox.cluster import ShardedCluster
from sandbox.deployment import Deployment
from sandbox.sharding import create_database
from sandbox.waiting import wait_until

Document = dict[str, Any]
FIRST, SECOND = "chain_first", "chain_second"
STEPS, COUNTER = "steps", "counter"
COUNTER_ID = "n"
LOAD = "load"
MAJORITY = WriteConcern("majority", wtimeout=60_000)


def _locate(deployment: Deployment, database: str, *, last: bool) -> str | None:
    """Return the component for a database, registered there if the deployment is sharded."""
    if not isinstance(deployment, ShardedCluster):
        return None
    shard = deployment.shard_names[-1 if last else 0]
    create_database(deployment, database, primary_shard=shard)
    return shard


class Writer(ABC):
    """A thread that writes until the end of the `with` block, and raises there what went wrong in it.

    :param pause: seconds between two rounds; 0: as fast as the servers take it.
    """

    def __init__(self, deployment: Deployment, *, pause: float = 0.0) -> None:
        self.deployment = deployment
        self.written = 0
        """Rounds done."""
        self._pause = pause
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the rounds need."""

    @abstractmethod
    def _round(self, number: int) -> None:
        """Write once."""

    def _run(self) -> None:
        try:
            for number in itertools.count(1):
                if self._stop.is_set():
                    return
                self._round(number)
                self.written = number
                if self._pause:
                    self._stop.wait(self._pause)
        except BaseException as error:  # noqa: BLE001 - raised at the end of the block
            self._error = error

    def wait_for(self, rounds: int, *, timeout: float = 60.0) -> None:
        """Wait until this many more rounds are done.

        :raises Exception: what stopped the writer.
        """
        goal = self.written + rounds

        def there() -> bool:
            if self._error:
                raise self._error
            return self.written >= goal

        wait_until(there, what=f"{type(self).__name__} has done {rounds} more rounds", timeout=timeout)

    def __enter__(self) -> Self:
        self._prepare()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=90)
        if error is None and self._error is not None:
            raise self._error


class ChainWriter(Writer):
    """Keeps the chain described above, over two shards (over two databases where there are no shards)."""

    def _prepare(self) -> None:
        self._sides: list[tuple[ClientSession, Collection[Document], Collection[Document]]] = []
        for name, last in ((FIRST, False), (SECOND, True)):
            component = _locate(self.deployment, name, last=last)
            client = self.deployment.client(component=component)
            database = client.get_database(name, write_concern=MAJORITY)
            for collection in (STEPS, COUNTER):
                database.drop_collection(collection)
            database[COUNTER].insert_one({"_id": COUNTER_ID, "n": 0})
            database.create_collection(STEPS)
            self._sides.append((client.start_session(), database[STEPS], database[COUNTER]))

    def _round(self, number: int) -> None:
        previous = self._sides[-1][0]
        for session, steps, counter in self._sides:
            if previous.cluster_time is not None:
                session.advance_cluster_time(previous.cluster_time)
            steps.insert_one({"_id": number, "at": time.time()}, session=session)
            counter.update_one({"_id": COUNTER_ID}, {"$set": {"n": number}}, session=session)
            previous = session


@dataclass(frozen=True)
class ChainState:
    """What the four collections of the chain hold."""

    first: list[int]
    first_counter: int
    second: list[int]
    second_counter: int

    def check(self) -> None:
        """Raise `VerificationError` unless this is the state of one cluster time."""
        problems = [
            f"{name} has gaps: {len(values)} values up to {values[-1]}"
            for name, values in (("first", self.first), ("second", self.second))
            if values != list(range(1, len(values) + 1))
        ]
        order = [len(self.first), self.first_counter, len(self.second), self.second_counter]
        # Written in this order, again and again: so never rising, and the last at most one behind the first.
        if order != sorted(order, reverse=True) or order[0] - order[-1] > 1:
            problems.append(f"first/counter/second/counter = {order} is no state of one cluster time")
        if problems:
            raise VerificationError("the chain is broken: " + "; ".join(problems))


def read_chain(deployment: Deployment) -> ChainState:
    """Read the chain from the primaries, for instance after a restore (of a deployment without writers)."""
    values: list[list[int]] = []
    counters: list[int] = []
    for name, last in ((FIRST, False), (SECOND, True)):
        component = deployment.shard_names[-1 if last else 0] if isinstance(deployment, ShardedCluster) else None
        database = deployment.client(component=component)[name]
        values.append([each["_id"] for each in database[STEPS].find({}, {"_id": 1}).sort("_id", 1)])
        counter = database[COUNTER].find_one({"_id": COUNTER_ID})
        counters.append(counter["n"] if counter else -1)
    return ChainState(first=values[0], first_counter=counters[0], second=values[1], second_counter=counters[1])


class LoadWriter(Writer):
    """Inserts, updates and deletes in databases `load_<component>` of every shard (or of the only component).

    :param batch: documents inserted in a round on each.
    """

    def __init__(self, deployment: Deployment, *, pause: float = 0.01, batch: int = 20) -> None:
        super().__init__(deployment, pause=pause)
        self._batch = batch

    def _prepare(self) -> None:
        sharded = isinstance(self.deployment, ShardedCluster)
        names = self.deployment.shard_names if isinstance(self.deployment, ShardedCluster) else [None]
        self._targets: list[Collection[Document]] = []
        for name in names:
            database = f"{LOAD}_{name}" if name else LOAD
            if sharded and isinstance(self.deployment, ShardedCluster) and name:
                create_database(self.deployment, database, primary_shard=name)
            items = self.deployment.client(component=name)[database].items
            items.drop()
            self._targets.append(items)

    def _round(self, number: int) -> None:
        base = number * self._batch
        for target in self._targets:
            target.insert_many(
                [{"_id": base + each, "round": number, "text": "y" * 200} for each in range(self._batch)]
            )
            target.update_many({"round": number - 1}, {"$inc": {"seen": 1}})
            target.delete_one({"_id": base - self._batch * 5})
