"""The kinds of objects by name."""

from __future__ import annotations

from mongo_backup.objects.addon import Addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.base import KubernetesStyleObject
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.retention import RetentionPolicy
from mongo_backup.objects.storage import BackupStorage

KINDS: dict[str, type[KubernetesStyleObject]] = {
    kind.__name__: kind for kind in (BackupStorage, AppBinding, Addon, RetentionPolicy, BackupConfiguration)
}
