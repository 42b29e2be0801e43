"""How a configuration's sets are verified: the section `verification` of a BackupConfiguration.

A section and no kind of its own: what is checked names a configuration's namespaces, and there is one DAG
`verify.<configuration>` for it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, model_validator

from mongo_backup.model import Model
from mongo_backup.objects.addon import Resources
from mongo_backup.objects.base import Name
from mongo_backup.objects.quantities import Duration, Size
from mongo_backup.objects.schedule import Schedule

NamespaceName = Annotated[str, StringConstraints(pattern=r"^[^.$*\s]+\.[^$*\s]+$")]
"""A namespace as `database.collection`."""


class Check(Model):
    """One question to the restored data, and the answer that must come. Documents are extended JSON."""

    name: str
    """What is checked, in words for people: `yesterday's orders are there`."""
    namespace: NamespaceName
    """The collection or view that is asked, such as `shop.orders`."""
    filter: dict[str, Any] | None = None
    """A query, as for `find`; the answer is ordered by `_id`. Neither this nor `pipeline`: all documents."""
    pipeline: tuple[dict[str, Any], ...] | None = None
    """An aggregation, as for `aggregate`."""
    count: int | None = Field(default=None, ge=0)
    """So many documents must come."""
    at_least: int | None = Field(default=None, ge=0)
    """So many documents or more must come."""
    at_most: int | None = Field(default=None, ge=0)
    """So many documents or fewer must come."""
    equals: tuple[dict[str, Any], ...] | None = None
    """Exactly these documents must come, in this order."""
    timeout: Duration = timedelta(minutes=10)
    """Longest time for the answer."""

    @model_validator(mode="after")
    def _asks_and_expects(self) -> Self:
        if self.filter is not None and self.pipeline is not None:
            raise ValueError("write either `filter` or `pipeline`; a pipeline filters by `$match`")
        if {self.count, self.at_least, self.at_most} == {None} and self.equals is None:
            raise ValueError("expects nothing: write at least one of count, at_least, at_most, equals")
        return self


class VerificationSettings(Model):
    """The DAG `verify.<configuration>`: a set is restored into a throw-away MongoDB and compared with its manifest."""

    schedule: Schedule | None = None
    """Cron, such as `0 6 * * 0`; none: by trigger, and `after_backups`."""
    timezone: str = "UTC"
    """The time zone of the schedule."""
    paused: bool = False
    """Start the DAG paused."""
    after_backups: int | None = Field(default=None, ge=1)
    """Also as soon as so many complete sets are newer than the last one that was verified; 1: after each backup."""
    session: Name | None = None
    """Whose sets are verified; none: those of all sessions."""
    mongod: str | None = None
    """The program of the throw-away server where the step runs; none: `mongod` on PATH."""
    image: str | None = None
    """With the runner `kubernetes`: the server's image, such as `mongo:6.0.5`: it runs beside the agent, in the same
    pod. None: the image of the addon's function `verify` holds a `mongod`."""
    resources: Resources = Resources()
    """With `image`: what the server's container gets, such as
    `{requests: {memory: 1Gi, ephemeral-storage: 100Gi}, limits: {memory: 1500Mi}}`."""
    folder: str | None = None
    """Where the throw-away server keeps its data, in a folder that is gone afterwards; none: the folder for temporary
    files. With `image` it is a volume of the pod instead. It needs room for the documents of the largest component; of
    all of them where a sharded set has `checks`."""
    max_size: Size | None = None
    """Refuse to restore more than so many bytes of documents; none: as many as there is room for."""
    cache: Size = 512 * 2**20
    """Memory for the throw-away server's cache; 256MiB at least."""
    timeout: Duration = timedelta(hours=24)
    """Longest time for restoring and comparing one set."""
    checks: tuple[Check, ...] = ()
    """Questions of your own to the restored data."""

    @model_validator(mode="after")
    def _cache_is_enough(self) -> Self:
        if self.cache < 256 * 2**20:
            raise ValueError("cache must be at least 256MiB: a server with less refuses to start")
        return self
