"""The kinds of objects by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mongo_backup.objects.addon import Addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.retention import RetentionPolicy
from mongo_backup.objects.storage import BackupStorage

AnyObject = Annotated[
    BackupStorage | AppBinding | Addon | RetentionPolicy | BackupConfiguration, Field(discriminator="kind")
]
"""An object of any kind."""

KINDS: dict[str, type[KubernetesStyleObject]] = {
    kind.__name__: kind for kind in (BackupStorage, AppBinding, Addon, RetentionPolicy, BackupConfiguration)
}
