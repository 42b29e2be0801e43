"""Which engine dumps. Imported only when it is chosen: each needs other libraries or tools."""

from __future__ import annotations

from functools import partial

from mongo_backup.engines.base import DumpEngine
from mongo_backup.objects.addon import Engine, Function


def dump_engine(name: Engine, function: Function) -> DumpEngine:
    """Return the engine of that name, with the function's settings."""
    if name == "mongodump":
        from mongo_backup.engines import mongodump

        return partial(mongodump.dump, arguments=function.args)
    from mongo_backup.engines import native

    return native.dump


def check_engine(name: Engine) -> None:
    """Refuse an engine whose program is not here.

    :raises PreconditionError: mongodump is not on PATH.
    """
    if name == "mongodump":
        from mongo_backup.engines import mongodump

        mongodump.find_mongodump()
