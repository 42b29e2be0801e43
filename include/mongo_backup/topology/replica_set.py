"""One replica set as its members see it: who is in it, in which part and how far behind.

Sources: `hello`, `replSetGetConfig`, `replSetGetStatus` (MongoDB manual, "Replication Commands").
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pymongo

from mongo_backup.connection import Connector, mongo_errors
from mongo_backup.errors import ConfigurationError, MongoBackupError, TransientError
from mongo_backup.topology.model import Component, ComponentRole, Member

logger = logging.getLogger(__name__)

_KNOCK_SECONDS = 3.0
_ANSWER_SECONDS = 10.0
_ROUNDS = 2
_UNREACHABLE = "(not reachable/healthy)"


def listens(host: str, *, timeout_seconds: float = _KNOCK_SECONDS) -> bool:
    """Whether something accepts connections at `host:port`; asks before the driver waits its whole time limit."""
    name, _, port = host.rpartition(":")
    try:
        with socket.create_connection((name.strip("[]"), int(port)), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def greet(connector: Connector, host: str) -> dict[str, Any]:
    """Return a member's `hello`, which needs no login.

    :raises TransientError: it does not answer.
    """
    if not listens(host):
        raise TransientError(f"{host} cannot be reached: nothing accepts connections there; is the server up?")
    with mongo_errors("asking who it is", host), pymongo.timeout(_ANSWER_SECONDS):
        return connector.stranger(host).admin.command("hello")


def greet_all(connector: Connector, hosts: Iterable[str]) -> dict[str, dict[str, Any] | MongoBackupError]:
    """Return each host's `hello`, or why there is none."""

    def ask(host: str) -> dict[str, Any] | MongoBackupError:
        try:
            return greet(connector, host)
        except MongoBackupError as error:
            return error

    known = list(dict.fromkeys(hosts))
    with ThreadPoolExecutor(max_workers=max(1, min(16, len(known)))) as pool:
        return dict(zip(known, pool.map(ask, known), strict=True))


def first_answer(
    connector: Connector, hosts: Iterable[str], *, what: str
) -> tuple[str, dict[str, Any], dict[str, dict[str, Any]]]:
    """Return one host that answers (the primary if it is among them), its `hello`, and all answers.

    Where nobody does, all are asked a second time: a server under load may be silent for seconds.

    :param what: whose hosts they are, for the errors: "shard shard0".
    :raises ConfigurationError: the hosts belong to different sets.
    :raises TransientError: none answers.
    """
    hosts = tuple(hosts)
    for _ in range(_ROUNDS):
        answers = greet_all(connector, hosts)
        good = {host: answer for host, answer in answers.items() if isinstance(answer, dict)}
        if good:
            break
    problems = [answer for answer in answers.values() if isinstance(answer, MongoBackupError)]
    if not good:
        raise TransientError(f"no member of {what} answers: " + "; ".join(str(problem) for problem in problems))
    _same_set(good, what)
    for problem in problems:
        logger.warning("%s: %s", what, problem)
    host = min(good, key=lambda host: _rank(good[host]))
    return host, good[host], good


def _rank(hello: dict[str, Any]) -> int:
    """The primary first, an arbiter last: nobody can log in there."""
    if hello.get("isWritablePrimary"):
        return 0
    return 2 if hello.get("arbiterOnly") else 1


def _same_set(answers: dict[str, dict[str, Any]], what: str) -> None:
    names = {host: hello.get("setName") or "no replica set" for host, hello in answers.items()}
    if len(set(names.values())) > 1:
        told = ", ".join(f"{host} belongs to {name}" for host, name in sorted(names.items()))
        raise ConfigurationError(f"the AppBinding's hosts of {what} are not one replica set: {told}")


def read_component(
    connector: Connector, *, name: str, role: ComponentRole, host: str, hello: dict[str, Any]
) -> Component:
    """Return the set that a member belongs to, as the primary sees it where that answers.

    :param host: a member that answered; `hello`: its answer.
    """
    view = _best_view(connector, host, hello)
    with mongo_errors("reading the replica set's configuration (replSetGetConfig)", view):
        config = connector.member(view).admin.command("replSetGetConfig")["config"]
    with mongo_errors("reading the replica set's state (replSetGetStatus)", view):
        status = connector.member(view).admin.command("replSetGetStatus")
    states = {member["name"]: member for member in status["members"]}
    newest = _newest_write(status["members"])
    members = tuple(_member(entry, states.get(entry["host"], {}), newest) for entry in config["members"])
    return Component(name=name, role=role, replica_set=config["_id"], members=members)


def _best_view(connector: Connector, host: str, hello: dict[str, Any]) -> str:
    """The primary's view is the freshest; any member's will do without one."""
    primary = hello.get("primary")
    if not primary or primary in (host, hello.get("me")):
        return host
    try:
        greet(connector, primary)
    except MongoBackupError as error:
        logger.warning("%s says its primary is %s, but from here %s", host, primary, error)
        return host
    return str(primary)


def _newest_write(members: list[dict[str, Any]]) -> datetime | None:
    """The primary's last write; without a primary the newest of all."""
    dates = [member["optimeDate"] for member in members if member.get("optimeDate") and member["health"] == 1]
    primary = [member["optimeDate"] for member in members if member["state"] == 1]
    return primary[0] if primary else max(dates, default=None)


def _member(entry: dict[str, Any], state: dict[str, Any], newest: datetime | None) -> Member:
    applied = state.get("optimeDate")
    lag = max(0.0, (newest - applied).total_seconds()) if newest and applied and not entry.get("arbiterOnly") else None
    healthy = state.get("health") == 1
    name = str(state.get("stateStr", "UNKNOWN"))
    return Member(
        host=entry["host"],
        state="DOWN" if _UNREACHABLE in name else name,
        healthy=healthy,
        priority=entry.get("priority", 1),
        votes=entry.get("votes", 1),
        hidden=entry.get("hidden", False),
        arbiter=entry.get("arbiterOnly", False),
        delay_seconds=int(entry.get("secondaryDelaySecs", entry.get("slaveDelay", 0))),
        lag_seconds=lag if healthy else None,
        sync_source=state.get("syncSourceHost") or None,
        tags=entry.get("tags", {}),
    )
