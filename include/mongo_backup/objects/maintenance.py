"""How a configuration's repository is looked after: the section `maintenance` of a BackupConfiguration.

A repository belongs to one configuration, so it has no object of its own: `maintain.<configuration>` is its DAG, and
`maintain.<configuration>.<copy>` that of a copy.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from mongo_backup.model import Model
from mongo_backup.objects.quantities import Duration
from mongo_backup.objects.schedule import Schedule


class MaintenanceSettings(Model):
    """The DAG `maintain.<configuration>`: the repository is checked, and what no set needs any more is removed."""

    schedule: Schedule | None = "0 12 * * 0"
    """Cron, such as `0 12 * * 0`; null: by trigger only. Backups wait while it runs, and it waits for them."""
    timezone: str = "UTC"
    """The time zone of the schedule."""
    paused: bool = False
    """Start the DAG paused."""
    check_parts: int = Field(default=8, ge=1, le=1000)
    """Each run reads one part of so many of all data and compares checksums, so that so many runs read all of them.
    Indexes and the structure are checked as a whole each time."""
    prune: bool = True
    """Remove data that no snapshot needs any more; false: they stay, and the repository grows."""
    wait: Duration = timedelta(hours=6)
    """How long a running backup or restore is waited for, before the task fails and is tried again."""
    timeout: Duration = timedelta(hours=12)
    """Longest time for the check, and for the pruning."""
