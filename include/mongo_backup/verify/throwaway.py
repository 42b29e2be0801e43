"""A MongoDB that lives as long as one verification: no network, no users, data in a folder that is gone afterwards.

It listens on a Unix socket alone, in a folder that only this user may enter: it holds real data and asks nobody for a
password. In a pod the server is a container of its own (a sidecar) and the socket lies in a volume that both share;
then it ends with the pod.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mongo_backup.connection import Client, mongo_errors
from mongo_backup.errors import ConfigurationError, MongoBackupError, PreconditionError, TransientError
from mongo_backup.objects.verification import VerificationSettings
from mongo_backup.processes import Drain, GuardedProcess

log = logging.getLogger(__name__)

SOCKET_VARIABLE = "MONGO_BACKUP_THROWAWAY"
"""The socket of a server that somebody else runs beside the agent: the pod's sidecar."""
SOCKET = "mongodb-27017.sock"
"""What a mongod calls its socket, below `--unixSocketPrefix`."""
NAME = "the throw-away server"

_KEEPER = Path(__file__).with_name("keeper.py")
_PREFIX = "mongo-backup-verify-"
_LOCK = "in-use"
_START_SECONDS = 120.0
_GRACE_SECONDS = 60.0
_YOUNG_SECONDS = 60.0
"""A folder that was made so short ago may belong to a server that is just being started."""
_LONGEST_SOCKET = 107
_DATA = ("admin", "config", "local")


def server_options(settings: VerificationSettings, *, data: str, sockets: str) -> list[str]:
    """A mongod's arguments: nobody but who can enter the socket's folder reaches it, nothing in it ever expires."""
    return [
        *("--dbpath", data, "--unixSocketPrefix", sockets, "--bind_ip", f"{sockets}/{SOCKET}"),
        *("--wiredTigerCacheSizeGB", f"{settings.cache / 2**30:.2f}"),
        *("--wiredTigerEngineConfigString", "log=(prealloc=false,file_max=32MB)"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        *("--setParameter", "ttlMonitorEnabled=false"),
    ]


class Throwaway:
    """A running throw-away server.

    :param client: talks to it.
    :param data: the folder of its data, None where another container has it.
    :param process: its process, None where another container has it.
    """

    def __init__(self, client: Client, *, data: Path | None = None, process: GuardedProcess | None = None) -> None:
        self.client = client
        self.data = data
        self._process = process
        self._born = _process_id(client) if process is None else None

    @property
    def version(self) -> str:
        """Its version, such as `6.0.5`."""
        with mongo_errors("asking for its version", NAME):
            return str(self.client.server_info()["version"])

    @property
    def alive(self) -> bool:
        """Whether its process lives; in another container, whether the one answers that answered in the beginning.

        A server that was killed there is started again, and may have lost what was restored.
        """
        if self._process is not None:
            return self._process.running
        try:
            return bool(_process_id(self.client) == self._born)
        except MongoBackupError:
            return False

    def clear(self) -> None:
        """Drop everything, so that the next component finds room."""
        with mongo_errors("dropping databases", NAME):
            for name in self.client.list_database_names():
                if name not in _DATA:
                    self.client.drop_database(name)

    def check_room(self, size: int, settings: VerificationSettings) -> None:
        """Refuse what is larger than allowed, or than the file system has room for (compression is not counted on).

        :raises PreconditionError: it is.
        """
        if settings.max_size is not None and size > settings.max_size:
            raise PreconditionError(
                f"{size / 1e6:.0f} MB of documents would be restored, and verification.max_size allows "
                f"{settings.max_size / 1e6:.0f} MB: raise it, or back up less"
            )
        free = self._free()
        if free is not None and size > free:
            if self.data is None:
                where, more = "beside it", "give its container a larger volume (docs/how-to/kubernetes.md)"
            else:
                where, more = f"in {self.data.parent}", "name a larger place in verification.folder"
            raise PreconditionError(
                f"{size / 1e6:.0f} MB of documents would be restored, and there are {free / 1e6:.0f} MB free {where}: "
                f"{more}"
            )

    def _free(self) -> int | None:
        if self.data is not None:
            return shutil.disk_usage(self.data).free
        with mongo_errors("asking for free space (dbStats)", NAME):
            stats = self.client.admin.command({"dbStats": 1})
        return int(stats["fsTotalSize"] - stats["fsUsedSize"]) if "fsTotalSize" in stats else None


@contextmanager
def throwaway(settings: VerificationSettings) -> Iterator[Throwaway]:
    """Start a throw-away server, or take the one that runs beside this process; it is gone after the block.

    :raises ConfigurationError: there is no `mongod`, or the folder cannot be used.
    :raises TransientError: it did not start, or died: the message has the end of its log.
    """
    if beside := os.environ.get(SOCKET_VARIABLE):
        with _client(Path(beside)) as client:
            _wait_ready(client)
            server = Throwaway(client)
            try:
                yield server
            except MongoBackupError as error:
                if server.alive:
                    raise
                raise TransientError(
                    f"{NAME} died ({error.message}): give its container more memory (verification.resources) or disk"
                ) from error
        return
    sweep(settings)
    with _own_server(settings) as server:
        try:
            yield server
        except MongoBackupError as error:
            if server.alive:
                raise
            words = _end_of_log(server.data)
            raise TransientError(f"{NAME} died: {words}; it may lack memory or disk") from error


@contextmanager
def _own_server(settings: VerificationSettings) -> Iterator[Throwaway]:
    program = find_mongod(settings)
    with contextlib.ExitStack() as stack:
        sockets = _make_folder(None)
        stack.callback(shutil.rmtree, sockets, ignore_errors=True)
        data = _make_folder(settings.folder)
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        if len(str(sockets / SOCKET)) > _LONGEST_SOCKET:
            raise ConfigurationError(f"{sockets} is too long for a socket's path: set TMPDIR to a shorter folder")
        (data / "db").mkdir()
        options = server_options(settings, data=str(data / "db"), sockets=str(sockets))
        folders = os.pathsep.join(map(str, (sockets, data)))
        try:
            process = GuardedProcess(
                [
                    *(sys.executable, "-I", "-S", str(_KEEPER), str(data / _LOCK), folders),
                    *(program, *options, "--logpath", str(data / "mongod.log")),
                ],
                environment={"PATH": os.environ.get("PATH", "")},
                grace_seconds=_GRACE_SECONDS,
            )
        except OSError as error:
            raise TransientError(f"{NAME} cannot be started: {error.strerror}") from error
        stack.callback(process.end)
        Drain(process.stdout, limit=0)
        client = stack.enter_context(_client(sockets / SOCKET))
        server = Throwaway(client, data=data, process=process)
        _wait_ready(client, server, process)
        log.info("%s (MongoDB %s) is up in %s", NAME, server.version, data)
        yield server


def find_mongod(settings: VerificationSettings) -> str:
    """Return the program.

    :raises ConfigurationError: there is none here.
    """
    wanted = settings.mongod or "mongod"
    if found := shutil.which(wanted):
        return found
    raise ConfigurationError(
        f"there is no {wanted} here to restore into: install MongoDB's server where verifications run and name it in "
        "verification.mongod; with the runner kubernetes name its image in verification.image"
    )


def _make_folder(parent: str | None) -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        where = parent or tempfile.gettempdir()
        raise ConfigurationError(f"verification.folder: {where} cannot be used: {error.strerror}") from error


def _process_id(client: Client) -> Any:
    """What only this life of the server is called (MongoDB 4.4 and newer)."""
    with mongo_errors("asking who it is", NAME):
        return client.admin.command("hello").get("topologyVersion", {}).get("processId")


@contextmanager
def _client(socket: Path) -> Iterator[Client]:
    client: Client = MongoClient(f"mongodb://{quote(str(socket), safe='')}", serverSelectionTimeoutMS=5000)
    with client:
        yield client


def _wait_ready(client: Client, server: Throwaway | None = None, process: GuardedProcess | None = None) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.admin.command("ping")
        except PyMongoError as error:
            if server is not None and not server.alive:
                said = process.errors.text.strip() if process else ""
                raise TransientError(f"{NAME} did not start: {_end_of_log(server.data) or said[-400:]}") from error
            if time.monotonic() > deadline:
                raise TransientError(f"{NAME} does not answer after {_START_SECONDS:.0f} s: {error}") from error
        else:
            return


def _end_of_log(data: Path | None) -> str:
    if data is None:
        return ""
    with contextlib.suppress(OSError):
        return (data / "mongod.log").read_text("utf-8", "replace")[-600:].strip()
    return ""


def sweep(settings: VerificationSettings) -> tuple[str, ...]:
    """Remove the folders of throw-away servers that were killed together with all that watches over them."""
    removed = []
    for parent in {tempfile.gettempdir(), settings.folder or tempfile.gettempdir()}:
        for folder in sorted(Path(parent).glob(f"{_PREFIX}*")):
            if _is_left_behind(folder):
                shutil.rmtree(folder, ignore_errors=True)
                log.warning("Removed %s, left behind by a verification that was killed", folder)
                removed.append(str(folder))
    return tuple(removed)


def _is_left_behind(folder: Path) -> bool:
    """Ours, not young, and no keeper holds its lock. A folder with sockets alone has no lock: a live socket tells."""
    try:
        state = folder.lstat()
        if state.st_uid != os.getuid() or time.time() - state.st_mtime < _YOUNG_SECONDS:
            return False
        if not (folder / _LOCK).exists():
            return not _answers(folder / SOCKET)
        with (folder / _LOCK).open("r+", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _answers(socket: Path) -> bool:
    import socket as sockets

    with sockets.socket(sockets.AF_UNIX) as probe:
        try:
            probe.connect(str(socket))
        except OSError:
            return False
    return True
