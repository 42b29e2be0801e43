"""Which namespaces of a set are restored, and under which names."""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from mongo_backup.model import Model
from mongo_backup.namespaces import ACCOUNTS, BUCKETS_PREFIX, Selection, data_name, restorable
from mongo_backup.topology.model import ComponentRole


class RestoreRules(Model):
    """Selection and new names. Users and roles, and what is in `config`, follow rules of their own."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rename: dict[str, str] = Field(default_factory=dict)

    @cached_property
    def _selection(self) -> Selection:
        return Selection(role=ComponentRole.SHARD, include=self.include, exclude=self.exclude)

    @property
    def whole(self) -> bool:
        """Everything, under its own name."""
        return not (self.include or self.exclude or self.rename)

    def accepts(self, db: str, collection: str) -> bool:
        """Tell whether the documents of a namespace are restored."""
        if (db, collection) in ACCOUNTS or not restorable(db, collection):
            return False
        return self._selection.accepts(db, collection)

    def new_name(self, db: str, collection: str) -> tuple[str, str]:
        """The name on the target; the buckets of a time series follow its own name."""
        prefix = BUCKETS_PREFIX if collection.startswith(BUCKETS_PREFIX) else ""
        name = data_name(collection)
        if new := self.rename.get(f"{db}.{name}"):
            new_db, _, new_collection = new.partition(".")
            return new_db, prefix + new_collection
        if new := self.rename.get(f"{db}.*"):
            return new.removesuffix(".*"), collection
        return db, collection
