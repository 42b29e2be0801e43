"""The balancer of a sharded cluster: off for the time of a backup, then back to the mode it had.

Through a mongos when the AppBinding names one (`balancerStatus`, `balancerStop`, `balancerStart`: MongoDB manual,
"Sharding Commands"); otherwise by the commands that mongos itself sends to the config server's primary
(`_configsvrBalancer*`; src/mongo/db/s/config/configsvr_control_balancer_command.cpp), which take no write concern.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from mongo_backup.agent.contract import BalancerResult
from mongo_backup.connection import Client, Connector, mongo_errors, translate
from mongo_backup.errors import ConfigurationError, MongoBackupError, PreconditionError
from mongo_backup.journal import Journal, JournalEntry, JournalKind
from mongo_backup.model import Model

logger = logging.getLogger(__name__)

_TIME_LIMIT_CODES = {50, 202, 262}
"""MaxTimeMSExpired, NetworkInterfaceExceededTimeLimit, ExceededTimeLimit."""
_POLL_SECONDS = 0.25
PENDING_SECONDS = 10.0
"""So long an undo waits for a command that was never answered. Who undoes it later comes minutes after it was sent."""
_ANSWER_SECONDS = 30.0
_CONFIG = "config"
_ANY_HOST = "*"
_OFF = "off"


class BalancerStatus(Model):
    """What the balancer says of itself."""

    mode: str
    """`full`, `off`, or (before 6.0) `autoSplitOnly`."""
    in_round: bool
    """A round of migrations is running."""


class Balancer:
    """The balancer of the connector's deployment.

    :raises ConfigurationError: the AppBinding names no config server.
    """

    def __init__(self, connector: Connector) -> None:
        spec = connector.binding.spec
        if spec.config_server is None:
            raise ConfigurationError(f"AppBinding {connector.binding.name} has no config server, so no balancer")
        mongos = connector.mongos()
        config = spec.config_server
        self._routed = mongos is not None
        self._config: Client = connector.primary(config.hosts, config.replica_set)
        self._client: Client = mongos if mongos is not None else self._config
        self.where = ",".join(spec.mongos) if self._routed else f"the config server {config.replica_set}"
        self.unanswered = False
        """The command to stop it was sent and not answered: it may still be on its way."""

    def _command(self, name: str, **options: Any) -> dict[str, Any]:
        command = f"balancer{name}" if self._routed else f"_configsvrBalancer{name}"
        return self._client.admin.command({command: 1, **options})

    def status(self) -> BalancerStatus:
        """Ask for mode and whether a round is running."""
        with mongo_errors("asking for the balancer's status", self.where), pymongo.timeout(_ANSWER_SECONDS):
            answer = self._command("Status")
        return BalancerStatus(mode=answer["mode"], in_round=bool(answer["inBalancerRound"]))

    def stop(self, *, limit: timedelta) -> float:
        """Switch it off and wait until no round is running; return the seconds waited.

        :raises PreconditionError: a round was still running after `limit`; the balancer is off all the same.
        """
        began = time.monotonic()
        seconds = max(0.001, limit.total_seconds())
        self.unanswered = True
        try:
            self._command("Stop", maxTimeMS=int(seconds * 1000))
        except PyMongoError as error:
            self.unanswered = not isinstance(error, OperationFailure)
            if getattr(error, "code", None) not in _TIME_LIMIT_CODES:
                raise translate(error, doing="stopping the balancer", host=self.where) from error
        self.unanswered = False
        while self.status().in_round:
            if time.monotonic() - began > seconds:
                raise PreconditionError(
                    f"the balancer's round of migrations was still running after {seconds:.0f} s: try when fewer chunks"
                    " move, or raise the session's `balancer.stop_timeout`"
                )
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began

    def set_mode(self, mode: str) -> None:
        """Put it into a mode that `status` has told."""
        with mongo_errors(f"putting the balancer back to {mode}", self.where), pymongo.timeout(_ANSWER_SECONDS):
            if mode == "full":
                self._command("Start")
            elif mode == _OFF:
                self._command("Stop")
            else:
                # No command sets `autoSplitOnly` (4.4, 5.0); the balancer reads its mode before each round.
                self._config.get_database(_CONFIG).settings.update_one(
                    {"_id": "balancer"}, {"$set": {"mode": mode, "stopped": mode != "full"}}, upsert=True
                )


def stop_balancer(
    connector: Connector, journal: Journal, *, owner: str, stop_timeout: timedelta, set_id: str | None = None
) -> BalancerResult:
    """Stop the balancer and wait for a running round, its former mode journaled before.

    A second call of the same owner keeps the mode that the first one found.

    :raises ConflictError: another run is at work on the deployment. What a dead one left is undone first.
    :raises PreconditionError: a round was still running after `stop_timeout`; the balancer is as it was.
    """
    balancer = Balancer(connector)
    journal.make_way(owner, lambda entry: undo_balancer(balancer, entry), kinds={JournalKind.BALANCER})
    entry = journal.write(
        JournalEntry(
            kind=JournalKind.BALANCER,
            owner=owner,
            set_id=set_id,
            component=_CONFIG,
            host=_ANY_HOST,
            former=balancer.status().mode,
        )
    )
    former = str(entry.former)
    try:
        if entry.answered:  # an older try's
            journal.note_answer(entry, False)
        waited = balancer.stop(limit=stop_timeout)
        journal.note_answer(entry, True)
    except BaseException as error:
        _put_back(balancer, journal, entry, error)
        raise
    now = balancer.status().mode
    logger.info("The balancer was %s and is %s now; waited %.1f s for its round to end", former, now, waited)
    return BalancerResult(former=former, now=now, waited_seconds=round(waited, 3))


def require_stopped(connector: Connector) -> None:
    """See that no chunk can move while data and routing are written.

    A step that is tried again by itself ("Clear only failed") comes after the teardown that put the balancer back.

    :raises PreconditionError: the balancer is on.
    """
    balancer = Balancer(connector)
    if (mode := balancer.status().mode) != _OFF:
        raise PreconditionError(
            f"the balancer is not off but {mode} ({balancer.where}), so chunks may move while they are restored: clear"
            " `disable_balancer` and all that follows it, not only the failed tasks, or start a new restore"
        )


def _put_back(balancer: Balancer, journal: Journal, entry: JournalEntry, cause: BaseException) -> None:
    """The command whose answer did not come may reach the server after this undo: then `finish` looks once more."""
    try:
        undo_balancer(balancer, entry, patience=0)
        if balancer.unanswered:
            logger.warning("the command to stop the balancer may still be on its way: its journal entry stays")
        else:
            journal.remove(entry)
    except MongoBackupError as error:
        logger.error("after %s the balancer could not be put back (its journal entry stays): %s", cause, error)


def undo_balancer(balancer: Balancer, entry: JournalEntry, *, patience: float = PENDING_SECONDS) -> str:
    """Put the balancer back to the mode that the journal says; in words what was done.

    Our command may still be on its way (a network that is cut delivers when it heals): then it is waited for.

    One that somebody else has started meanwhile stays as he left it. That somebody else stopped it too cannot be told
    from our own stop.
    """
    former = str(entry.former)
    until = time.monotonic() + (0 if entry.answered or former == _OFF else patience)
    while (now := balancer.status().mode) == former and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    if now == former:
        return f"the balancer is {former}, as it was"
    if now != _OFF:
        return f"left the balancer at {now}: somebody changed it after us (we had found it {former})"
    balancer.set_mode(former)
    return f"put the balancer back from {now} to {former}"
