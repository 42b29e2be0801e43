"""When a set is suspicious: the section `anomaly` of a BackupConfiguration."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mongo_backup.model import Model


class AnomalySettings(Model):
    """When a set differs so much from those before it that somebody should look. It is marked, and kept like any other.

    Compared with sets of the same session and selection of namespaces: documents and bytes with the median of the last
    ones, namespaces with those of the last one.
    """

    enabled: bool = True
    """False: nothing is compared."""
    predecessors: int = Field(default=10, ge=1, le=100)
    """How many sets before it are looked at."""
    at_least: int = Field(default=3, ge=1)
    """With fewer sets before it nothing is said."""
    smaller: float = Field(default=0.5, gt=0, le=1)
    """Suspicious when documents or bytes are this part below the median, or more: 0.5 is half of it."""
    larger: float = Field(default=2.0, gt=0)
    """Suspicious when documents or bytes are above the median by this many times it, or more: 2 is three times it."""
    deviations: float = Field(default=6.0, ge=0)
    """And only when they are so many times further away than the sets usually are from their median (the median of the
    absolute deviations, scaled like a standard deviation): what always changes much may."""
    vanished: float = Field(default=0.25, gt=0, le=1)
    """Suspicious when namespaces are gone or empty that were this part of the last set's, or held this part of its
    documents."""

    @model_validator(mode="after")
    def _can_be_said(self) -> Self:
        if self.at_least > self.predecessors:
            raise ValueError(
                f"only {self.predecessors} sets are looked at (`predecessors`), and nothing is said with fewer than "
                f"{self.at_least} (`at_least`): no set would ever be suspicious; lower `at_least`"
            )
        return self
