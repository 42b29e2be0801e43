"""A configuration with everything that it stands on: what steps, builders and operators work with."""

from __future__ import annotations

from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model
from mongo_backup.objects.addon import Addon
from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.configuration import BackupConfiguration
from mongo_backup.objects.copies import CopySettings
from mongo_backup.objects.retention import RetentionPolicy, RetentionSpec
from mongo_backup.objects.storage import BackupStorage


class CopyObjects(Model):
    """What one copy of a session stands on, resolved."""

    settings: CopySettings
    storage: BackupStorage
    retention: RetentionPolicy | None = None

    @property
    def policy(self) -> RetentionSpec | None:
        """What the copy keeps; None: everything."""
        return self.retention.spec if self.retention else None


class Objects(Model):
    """The objects that a configuration stands on, resolved."""

    configuration: BackupConfiguration
    target: AppBinding
    storage: BackupStorage
    addon: Addon
    retention: RetentionPolicy | None = None
    copies: tuple[CopyObjects, ...] = ()
    """Those of the session that was resolved; without a session those of all, each once."""
    copy_name: str | None = None
    """The copy that stands in the place of the repository (`of_copy`); None: the configuration's own repository."""

    @property
    def name(self) -> str:
        """The configuration, or `<configuration>.<copy>`: how DAG ids and metrics name a repository."""
        name = self.configuration.name
        return f"{name}.{self.copy_name}" if self.copy_name else name

    @property
    def words(self) -> str:
        """Which repository this is, for people."""
        own = f"the repository of {self.configuration.name}"
        return f"the copy {self.copy_name} of {own}" if self.copy_name else own

    def copy_named(self, name: str) -> CopyObjects:
        """The copy of this name.

        :raises ConfigurationError: there is no such copy.
        """
        copy = next((each for each in self.copies if each.settings.name == name), None)
        if copy is None:
            names = ", ".join(each.settings.name for each in self.copies) or "none"
            raise ConfigurationError(
                f"BackupConfiguration {self.configuration.name!r} has no copy {name!r}; these exist: {names}"
            )
        return copy

    def of_copy(self, name: str) -> Objects:
        """The same configuration with this copy in the place of its repository: who reads it, reads the copy.

        :raises ConfigurationError: there is no such copy.
        """
        copy = self.copy_named(name)
        spec = self.configuration.spec.model_copy(
            update={
                "storage": copy.settings.storage,
                "repository": copy.settings.repository or self.configuration.repository_name,
                "encryption": copy.settings.encryption or self.configuration.spec.encryption,
                "maintenance": copy.settings.maintenance or self.configuration.spec.maintenance,
            }
        )
        return self.model_copy(
            update={
                "configuration": self.configuration.model_copy(update={"spec": spec}),
                "storage": copy.storage,
                "retention": copy.retention,
                "copies": (),
                "copy_name": name,
            }
        )

    def read_from(self, copy: str | None) -> Objects:
        """These objects, or those of a copy (`of_copy`)."""
        return self.of_copy(copy) if copy else self
