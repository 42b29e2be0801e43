"""When an agent ends: on SIGTERM and SIGINT in order, and never later than the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType

from mongo_backup.errors import InterruptedByRequestError, SignalError

PARENT_VARIABLE = "MONGO_BACKUP_PARENT"
"""Set by a runner whose children must not outlive it: its own process id."""

_PR_SET_PDEATHSIG = 1


def raise_on_signals() -> None:
    """Let SIGTERM and SIGINT raise `SignalError` in the main thread, once.

    Later signals are ignored: the undo that the first one started must come to its end. SIGKILL still works.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        ignore_signals()
        raise SignalError(f"ended by {signal.Signals(number).name}")

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, interrupt)


def ignore_signals() -> None:
    """What is left to do is short and must be done: nothing but SIGKILL ends it."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies (prctl(2), PR_SET_PDEATHSIG), if the environment says so.

    :raises InterruptedByRequestError: the parent is gone already.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if not parent:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != int(parent):
        raise InterruptedByRequestError("the process that started this step is gone")
