"""`minSnapshotHistoryWindowInSeconds` of one member: how long a past point of time stays readable.

Source: MongoDB manual, "MongoDB Server Parameters". The parameter may be set at run time and is gone with a restart.
"""

from __future__ import annotations

from mongo_backup.connection import Connector
from mongo_backup.locks.fsync import answers, process_id

_NAME = "minSnapshotHistoryWindowInSeconds"


def read_window(connector: Connector, host: str) -> int:
    """Return the member's window in seconds."""
    with answers(f"reading {_NAME}", host):
        return int(connector.member(host).admin.command({"getParameter": 1, _NAME: 1})[_NAME])


def set_window(connector: Connector, host: str, seconds: int) -> None:
    """Set the member's window."""
    with answers(f"setting {_NAME}", host):
        connector.member(host).admin.command({"setParameter": 1, _NAME: seconds})


def undo_window(connector: Connector, host: str, *, former: int, value: int | None, process: str | None) -> str:
    """Set the window back, unless somebody changed it meanwhile; in words what was done.

    :param value: what we had set.
    :param process: the server process in which we had.
    """
    if process is not None and process_id(connector, host) != process:
        return f"{host} was restarted, its history window is what its configuration says"
    now = read_window(connector, host)
    if now == former:
        return f"the history window of {host} is {former} s, as it was"
    if value is not None and now != value:
        return f"left the history window of {host} at {now} s: somebody changed it after us (we had set {value} s)"
    set_window(connector, host, former)
    return f"set the history window of {host} back from {now} s to {former} s"
