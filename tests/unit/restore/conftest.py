"""A small sharded set."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mongo_backup.manifest.model import ComponentRecord, Manifest, NamespaceRecord
from mongo_backup.objects.app_binding import TopologyKind
from mongo_backup.objects.configuration import Consistency
from mongo_backup.topology.model import ChosenMember, ComponentRole, ReadMode


def component(name: str, role: ComponentRole, *namespaces: str) -> ComponentRecord:
    records = tuple(
        NamespaceRecord(db=db, collection=collection, documents=10, bytes=100)
        for db, _, collection in (namespace.partition(".") for namespace in namespaces)
    )
    return ComponentRecord(
        name=name,
        role=role,
        member=ChosenMember(component=name, role=role, host="h:1", state="SECONDARY", mode=ReadMode.LOCK),
        engine="native",
        consistency=Consistency.LOCKED,
        archive_id="a",
        archive_file="/a",
        documents=10,
        bytes=100,
        bytes_added=100,
        seconds=1,
        read_seconds=1,
        namespaces=records,
    )


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(
        set_id="set",
        configuration="shop",
        session="nightly",
        started=datetime(2026, 1, 1, tzinfo=UTC),
        finished=datetime(2026, 1, 1, tzinfo=UTC),
        topology=TopologyKind.SHARDED,
        server_version="6.0.5",
        fcv="6.0",
        consistency=Consistency.LOCKED,
        components=(
            component("config", ComponentRole.CONFIG, "admin.system.users", "config.chunks"),
            component("s0", ComponentRole.SHARD, "shop.orders", "shop.customers", "admin.notes"),
            component("s1", ComponentRole.SHARD, "shop.orders", "crm.system.buckets.calls"),
        ),
        core_version="0",
        restic_version="0.14.0",
    )
