"""How request, credentials and result travel between task and agent: descriptors only, nothing on a disk."""

from __future__ import annotations

import fcntl
import os

from mongo_backup.errors import ConfigurationError

LARGEST_PIPE = 1024 * 1024
"""Linux lets an ordinary user's pipe grow to this (`/proc/sys/fs/pipe-max-size`)."""


def path_of(descriptor: int) -> str:
    """The path under which the process that inherits the descriptor opens it."""
    return f"/dev/fd/{descriptor}"


def memory_file(name: str, content: str = "") -> int:
    """Return the descriptor of a file in memory (memfd_create(2)) with this content."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, content.encode())
    return descriptor


def read_memory_file(descriptor: int) -> str:
    """Return all that is in a file in memory."""
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode()


def secret_pipe(content: str) -> int:
    """Return the reading end of a pipe that holds the content: whoever reads it first leaves nothing for a second.

    :raises ConfigurationError: more than a pipe holds.
    """
    data = content.encode()
    if len(data) > LARGEST_PIPE:
        raise ConfigurationError("the credentials of one configuration are larger than 1 MiB: check their extras")
    reading, writing = os.pipe()
    try:
        if len(data) > fcntl.fcntl(writing, fcntl.F_GETPIPE_SZ):
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, LARGEST_PIPE)
        os.set_blocking(writing, False)
        view = memoryview(data)
        while view:
            view = view[os.write(writing, view) :]
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return reading
