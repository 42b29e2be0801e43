"""Copies of a session's complete sets in further repositories: the section `copies` of a session."""

from __future__ import annotations

from datetime import timedelta

from mongo_backup.model import Model
from mongo_backup.objects.base import CredentialsReference, Name, Reference
from mongo_backup.objects.maintenance import MaintenanceSettings
from mongo_backup.objects.quantities import Duration


class CopySettings(Model):
    """A second repository: after each backup of the session it gets the complete sets that its own policy keeps."""

    name: Name
    """Its name for people: in the task, in metrics, in `--copy NAME` of the commands. Sessions that name the same copy
    share one repository."""
    storage: Reference
    """A BackupStorage, mostly another one than the configuration's."""
    repository: str | None = None
    """The repository's folder in that storage; none: as that of the configuration."""
    encryption: CredentialsReference | None = None
    """The copy's password; none: the configuration's. restic derives the data's key anew for each repository."""
    retention_policy: Reference | None = None
    """Which sets the copy keeps, whatever the source keeps; none: everything. Sets that it would not keep are not
    copied."""
    timeout: Duration = timedelta(hours=12)
    """Longest time for what one run copies."""
    maintenance: MaintenanceSettings | None = None
    """How the copy is checked and pruned, by the DAG `maintain.<configuration>.<copy>`; none: as the configuration's
    repository is. Nothing waits for it but a copying."""
