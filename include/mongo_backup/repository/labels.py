"""What a snapshot of ours is part of, as its tags."""

from __future__ import annotations

from typing import Literal

from mongo_backup.errors import ConfigurationError
from mongo_backup.model import Model


class Label(Model):
    """What a snapshot is part of; kept as its tags."""

    set_id: str | None = None
    """None: it tells of the repository as a whole."""
    component: str
    """A component of the target, or the part's name."""
    part: Literal["archive", "inventory", "manifest", "verification", "mark", "maintenance"]
    session: str | None = None
    result: Literal["verified", "failed"] | None = None
    """Of a verification."""
    mark: str | None = None
    """Of a mark: `pinned`, or a word that a policy's `marks` names."""
    checked: str | None = None
    """Of a maintenance: the part of the data that was read, such as `3/8`."""
    original: str | None = None
    """Of a copy that was read and written anew: the snapshot that it is a copy of."""

    @property
    def tags(self) -> tuple[str, ...]:
        """As restic's tags.

        :raises ConfigurationError: a value has a comma: restic separates tags by it.
        """
        values = {
            "set": self.set_id,
            "component": self.component,
            "part": self.part,
            "session": self.session,
            "result": self.result,
            "mark": self.mark,
            "checked": self.checked,
            "original": self.original,
        }
        if odd := next((value for value in values.values() if value and "," in value), None):
            raise ConfigurationError(f"{odd!r} cannot be a tag in a restic repository: it has a comma")
        return tuple(f"{name}={value}" for name, value in values.items() if value)
