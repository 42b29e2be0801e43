"""Which remains of failed backups a session clears away."""

from __future__ import annotations

from datetime import UTC, datetime

from mongo_backup.agent.steps.retention import remains_of_others
from mongo_backup.manifest.catalog import SetCatalog
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.repository.records import Snapshot


def remains(session: str) -> Snapshot:
    tags = (f"set=of {session}", "component=rs0", "part=archive", f"session={session}")
    return Snapshot(id=session, time=datetime(2024, 1, 1, tzinfo=UTC), tags=tags)


def test_each_session_clears_its_own_and_those_of_nobody() -> None:
    spec = {"target": {"name": "x"}, "storage": {"name": "x"}, "encryption": {"connection": "x"}}
    sessions = {"sessions": [{"name": "hourly"}, {"name": "weekly"}]}
    configuration = BackupConfiguration.model_validate({"metadata": {"name": "shop"}, "spec": {**spec, **sessions}})
    catalog = SetCatalog([remains("hourly"), remains("weekly"), remains("renamed")])
    assert remains_of_others(configuration, "hourly", catalog) == {"of weekly"}
    assert remains_of_others(configuration, "weekly", catalog) == {"of hourly"}
