"""One point of a deployment's logical clock that every chosen member can be read at.

A no-op is written to each component's primary while `$clusterTime` is passed along; the highest time seen is T. A
second no-op, which carries T, moves each component past it. A member whose majority commit point has reached T can be
read at T (`readConcern: {level: "snapshot", atClusterTime: T}`). Everything acknowledged before the first no-op is
older than T.
Sources: MongoDB manual, `appendOplogNote` (used by mongosync and backup tools), "Read Concern snapshot", "Causal
Consistency and Read and Write Concerns"; drivers' specification "Causally Consistent Sessions" for `$clusterTime`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymongo
from bson import Timestamp

from mongo_backup.connection import Client, Connector, mongo_errors
from mongo_backup.errors import TransientError
from mongo_backup.manifest.model import ClusterTime
from mongo_backup.topology.discover import version_number
from mongo_backup.topology.model import ChosenMember, Component, ComponentRole, Topology

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.01
_ANSWER_SECONDS = 30.0
_NOTE = {"mongo_backup": "cluster time"}


def cluster_time_supported(topology: Topology) -> bool:
    """Whether a member can be read at a cluster time: MongoDB 5.0 (it always has majority reads), with an oplog."""
    standalone = any(component.role is ComponentRole.STANDALONE for component in topology.components)
    return not standalone and version_number(topology.server_version) >= (5, 0)


def primary_client(connector: Connector, component: Component) -> Client:
    """Return a client that follows a component's primary."""
    visible = [member.host for member in component.members if not member.arbiter and not member.hidden]
    hosts = visible or [member.host for member in component.members if not member.arbiter]
    return connector.primary(tuple(hosts), component.replica_set or "")


def fix_cluster_time(
    connector: Connector, *, topology: Topology, members: Sequence[ChosenMember], limit_seconds: float = 60.0
) -> ClusterTime:
    """Choose T, and wait until each of the members can be read at it.

    :raises TransientError: a primary did not answer, or a member did not reach T in time; it is named.
    """
    began = time.monotonic()
    clients = {component.name: primary_client(connector, component) for component in topology.components}
    clock: Mapping[str, Any] | None = None
    for name, client in clients.items():
        clock = _note(client, name, clock)
    if clock is None:
        raise TransientError("no component told its cluster time")
    point = Timestamp(clock["clusterTime"].time, clock["clusterTime"].inc)
    with ThreadPoolExecutor(max_workers=min(16, len(clients) + len(members))) as pool:
        seen = clock
        list(pool.map(lambda item: _note(item[1], item[0], seen), clients.items()))
        list(pool.map(lambda member: _wait(connector, member, point, limit_seconds), members))
    logger.info(
        "Cluster time %d.%d, readable on all members after %.2f s", point.time, point.inc, time.monotonic() - began
    )
    return ClusterTime(t=point.time, i=point.inc)


def _note(client: Client, component: str, clock: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Write a no-op to the component's oplog, passing the cluster's clock along; return the clock then."""
    with (
        mongo_errors("writing a no-op to the oplog (appendOplogNote)", f"the primary of {component}"),
        pymongo.timeout(_ANSWER_SECONDS),
        client.start_session() as session,
    ):
        if clock is not None:
            session.advance_cluster_time(clock)
        client.admin.command("appendOplogNote", data=_NOTE, session=session)
        now = session.cluster_time
    if now is None:
        raise TransientError(f"the primary of {component} told no cluster time: is it a member of a replica set?")
    return now


def _wait(connector: Connector, member: ChosenMember, point: Timestamp, limit_seconds: float) -> None:
    """Wait until a member has applied the point and knows it majority committed."""
    deadline = time.monotonic() + limit_seconds
    client = connector.member(member.host)
    while True:
        with mongo_errors("waiting for the cluster time", member.host), pymongo.timeout(_ANSWER_SECONDS):
            optimes = client.admin.command("replSetGetStatus")["optimes"]
        reached = min(optimes["lastCommittedOpTime"]["ts"], optimes["appliedOpTime"]["ts"])
        if reached >= point:
            return
        if time.monotonic() > deadline:
            raise TransientError(
                f"{member.component}: {member.host} is {point.time - reached.time} s behind the cluster time after"
                f" {limit_seconds:.0f} s of waiting: see why it lags (rs.printSecondaryReplicationInfo()) or exclude it"
            )
        time.sleep(_POLL_SECONDS)
