"""How durable a restore writes: what a majority of the set has is never rolled back."""

from __future__ import annotations

from typing import Any

from pymongo import WriteConcern

MAJORITY_CONCERN = WriteConcern(w="majority", wtimeout=600_000)
"""A secondary that is behind may take its time; one that stands still ends the restore after ten minutes."""
MAJORITY: dict[str, Any] = MAJORITY_CONCERN.document
"""The same as a field of a command."""
