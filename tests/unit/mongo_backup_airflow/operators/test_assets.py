"""A commit's events, by Airflow's own accessors: snapshots always, unverified ones only when enough wait."""

from __future__ import annotations

from typing import Any

import pytest

from mongo_backup.objects.addon import builtin_addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.resolved import Objects
from mongo_backup.objects.storage import BackupStorage
from mongo_backup_airflow.assets import snapshots_asset, unverified_alias
from mongo_backup_airflow.operators.backup import CommitSnapshotOperator
from mongo_backup_airflow.subject import Subject
from sandbox import objects


def committed(verification: dict[str, Any] | None, unverified: int) -> Any:
    """What Airflow is told after a commit that found so many unverified sets."""
    from airflow.sdk.execution_time.context import OutletEventAccessors

    more = {"verification": verification} if verification is not None else {}
    hosts = {"topology": "standalone", "hosts": ["db:27017"]}
    subject = Subject(
        objects=Objects(
            configuration=BackupConfiguration.model_validate(objects.configuration(**more)),
            target=AppBinding.model_validate({"metadata": {"name": "sandbox"}, "spec": hosts}),
            storage=BackupStorage.model_validate(
                {"metadata": {"name": "store"}, "spec": {"provider": "local", "path": "/backups"}}
            ),
            addon=builtin_addon(),
        ),
        session="manual",
    )
    operator = CommitSnapshotOperator(task_id="commit_snapshot", step="commit_snapshot", subject=subject)
    result = {"set_id": "s1", "documents": 5, "bytes": 100, "unverified": unverified}
    events = OutletEventAccessors()
    assert operator.returned(result, {"outlet_events": events}) == result  # type: ignore[typeddict-item]
    return events


def test_every_snapshot_is_told_of() -> None:
    told = committed(None, 0)[snapshots_asset("shop")].extra
    assert told == {"set_id": "s1", "documents": 5, "bytes": 100, "session": "manual"}


@pytest.mark.parametrize(
    ("verification", "unverified", "tells"),
    [
        ({"after_backups": 3}, 2, False),
        ({"after_backups": 3}, 3, True),
        ({"after_backups": 3}, 9, True),  # the verification that was due did not come to a verdict
        ({"schedule": "@weekly"}, 9, False),
        (None, 9, False),
    ],
)
def test_unverified_ones_only_when_enough_wait(
    verification: dict[str, Any] | None, unverified: int, tells: bool
) -> None:
    added = committed(verification, unverified)[unverified_alias("shop")].asset_alias_events
    assert [event.dest_asset_key.name for event in added] == (["unverified.shop"] if tells else [])
