"""What goes into the watchdog's step. The rules of `mongo_backup.agent.contract` hold here too."""

from __future__ import annotations

from enum import StrEnum

from mongo_backup.agent.contract import RunIdentity
from mongo_backup.model import Model
from mongo_backup.objects.app_binding import AppBinding


class ReleaseStep(StrEnum):
    """Steps of the watchdog."""

    EXPIRED = "expired"


class WatchRequest(Model):
    """What the watchdog's step gets."""

    run: RunIdentity
    target: AppBinding
    """The deployment to look at."""


class WatchResult(Model):
    """What was found on one deployment."""

    released: tuple[str, ...] = ()
    """What was undone, in words."""
    alive: tuple[str, ...] = ()
    """What runs that are at work hold."""
    foreign: tuple[str, ...] = ()
    """Members that somebody else has locked."""
