"""What the tests of the control steps share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mongo_backup.connection import Connector
from mongo_backup.locks.claims import HoldSettings
from mongo_backup.locks.fsync import is_locked
from mongo_backup.locks.release import release
from mongo_backup.objects.app_binding import AppBinding, MemberPreference
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.choice import choose_members
from mongo_backup.topology.discover import discover
from mongo_backup.topology.model import ChosenMember, Topology
from sandbox.deployment import Deployment
from sandbox.objects import credentials

OWNER = "backup.shop.hourly/manual__1"
OTHER = "backup.shop.daily/scheduled__2"


def binding(deployment: Deployment, **spec: Any) -> AppBinding:
    """The deployment's AppBinding, with fields of its spec replaced; None removes one."""
    document = deployment.app_binding()
    document["spec"] = {key: value for key, value in (document["spec"] | spec).items() if value is not None}
    return AppBinding.model_validate(document)


@contextmanager
def connect(deployment: Deployment, *, timeout_seconds: float = 5, **spec: Any) -> Iterator[Connector]:
    """A connector of the backup user; what it holds is released at the end, so that no test leaves a mark."""
    with Connector(
        binding=binding(deployment, **spec), credentials=credentials(deployment), timeout_seconds=timeout_seconds
    ) as connector:
        yield connector


def settings(**fields: Any) -> HoldSettings:
    return HoldSettings(owner=fields.pop("owner", OWNER), **fields)


def choose(
    connector: Connector, consistency: Consistency = Consistency.LOCKED, **preference: Any
) -> tuple[Topology, tuple[ChosenMember, ...]]:
    topology = discover(connector)
    members = choose_members(
        topology, preference=MemberPreference(**preference), consistency=consistency, when_unsafe="snapshot"
    )
    return topology, members


def locked(connector: Connector, members: Sequence[ChosenMember]) -> list[str]:
    """The chosen members that are locked, by the server's word."""
    return [member.host for member in members if is_locked(connector, member.host)]


def all_locked(connector: Connector, topology: Topology) -> list[str]:
    """All members of the deployment that are locked, by the server's word."""
    hosts = [m.host for c in topology.components for m in c.members if m.healthy and m.reachable and not m.arbiter]
    return [host for host in hosts if is_locked(connector, host)]


def release_everything(connector: Connector) -> None:
    """Every owner's entries, whatever a test left."""
    release(connector)
