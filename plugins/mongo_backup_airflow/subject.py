"""What the tasks of one DAG work on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mongo_backup.objects.app_binding import AppBinding
from mongo_backup.objects.resolved import Objects


@dataclass(frozen=True, kw_only=True, repr=False)
class Subject:
    """The objects of one configuration, resolved; operators hold it.

    Airflow writes an operator's arguments into the serialised DAG by their text, so the text is a short name.

    :param session: a backup's session; a restore has none.
    :param targets: a restore's possible targets by name.
    """

    objects: Objects
    session: str | None = None
    targets: Mapping[str, AppBinding] = field(default_factory=dict)

    def __repr__(self) -> str:
        """`shop/nightly`, or `shop` for a restore, or `shop.offsite` for a copy."""
        name = self.objects.name
        return f"{name}/{self.session}" if self.session else name
