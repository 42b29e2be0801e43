"""What most steps open first: the deployment and the repository of their request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from mongo_backup.agent.contract import BackupRequest
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.errors import ConfigurationError
from mongo_backup.locks.target import at_work
from mongo_backup.objects.addon import Engine
from mongo_backup.objects.configuration import Session
from mongo_backup.repository.restic import Repository


def connect(request: BackupRequest, credentials: Credentials) -> Connector:
    """Open the deployment that is backed up; use as a context manager."""
    return Connector(binding=request.objects.target, credentials=credentials)


@contextmanager
def connect_at_work(request: BackupRequest, credentials: Credentials) -> Iterator[Connector]:
    """Open the deployment and hold it for this run: for steps that act on it or read it.

    :raises TargetBusyError: another run is at work on it.
    """
    with (
        connect(request, credentials) as connector,
        at_work(connector, owner=request.run.owner, set_id=request.set_id),
    ):
        yield connector


def open_repository(request: BackupRequest, credentials: Credentials) -> Repository:
    """Open the configuration's repository; use as a context manager."""
    return Repository.of(
        configuration=request.objects.configuration, storage=request.objects.storage, credentials=credentials
    )


def session_of(request: BackupRequest) -> Session:
    """The session that the request is for.

    :raises ConfigurationError: the configuration has none of that name.
    """
    configuration = request.objects.configuration
    try:
        return configuration.session(request.session)
    except KeyError:
        names = ", ".join(each.name for each in configuration.spec.sessions)
        raise ConfigurationError(
            f"configuration {configuration.name} has no session {request.session}: it has {names}"
        ) from None


def engine_of(request: BackupRequest) -> Engine:
    """The engine that dumps: the session's wish, else the addon's."""
    return session_of(request).engine or request.objects.addon.spec.function("backup").engine


def reads_at_cluster_time(request: BackupRequest) -> bool:
    """Whether the engine can: mongodump reads a member as it stands, so the lock alone makes its sets one point."""
    return engine_of(request) == "native"


def when_unsafe_of(request: BackupRequest) -> Literal["snapshot", "fail"]:
    """What to do where a member must not be locked. Without a cluster time to read at there is no other way."""
    return session_of(request).when_unsafe if reads_at_cluster_time(request) else "fail"


def set_id_of(request: BackupRequest) -> str:
    """The set's id.

    :raises ConfigurationError: `prepare` has not given one yet.
    """
    if request.set_id is None:
        raise ConfigurationError("the request has no set_id: it comes from the step prepare")
    return request.set_id
