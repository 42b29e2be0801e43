"""Around the writing: the balancer, metrics, and the last look."""

from __future__ import annotations

from datetime import timedelta

from mongo_backup.agent.contract import BalancerResult, FinishResult, MetricsResult, ReleaseResult
from mongo_backup.agent.restore_contract import RestoreRequest, RestoreStep
from mongo_backup.balancer import stop_balancer
from mongo_backup.connection import Connector
from mongo_backup.credentials import Credentials
from mongo_backup.journal import Journal, JournalKind
from mongo_backup.locks.release import release, sweep
from mongo_backup.locks.target import RESTORE_LEASE_SECONDS, at_work
from mongo_backup.metrics.attempt import Attempt
from mongo_backup.metrics.restore import RestoreMetrics, push_restore


def _connect(request: RestoreRequest, credentials: Credentials) -> Connector:
    return Connector(binding=request.binding, credentials=credentials, restore=True)


def _stop_timeout(request: RestoreRequest) -> timedelta:
    return max(session.balancer.stop_timeout for session in request.objects.configuration.spec.sessions)


def disable_balancer(request: RestoreRequest, credentials: Credentials) -> BalancerResult:
    """Switch the target's balancer off and wait for a running round; its former mode is in the journal before.

    :raises PreconditionError: the round did not end in time; the balancer is as it was.
    """
    with (
        _connect(request, credentials) as connector,
        at_work(connector, owner=request.run.owner, lease_seconds=RESTORE_LEASE_SECONDS),
    ):
        return stop_balancer(
            connector,
            Journal(connector),
            owner=request.run.owner,
            stop_timeout=_stop_timeout(request),
            set_id=request.plan.set_id if request.plan else None,
        )


def enable_balancer(request: RestoreRequest, credentials: Credentials) -> ReleaseResult:
    """Put the balancer back to the mode that the journal says. Does nothing where the journal says nothing."""
    with _connect(request, credentials) as connector:
        return ReleaseResult(released=release(connector, owner=request.run.owner, kinds=(JournalKind.BALANCER,)))


def finish(request: RestoreRequest, credentials: Credentials) -> FinishResult:
    """Undo what the journal still holds for this run, then read the journal again: it must be empty of it.

    :raises MongoBackupError: something could not be undone; the message names it.
    """
    with _connect(request, credentials) as connector:
        return FinishResult(swept=sweep(connector, request.run.owner))


def push_metrics(request: RestoreRequest, credentials: Credentials) -> MetricsResult:
    """Push numbers about this restore to the configuration's Pushgateway, if it has one; never fails a good restore."""
    settings = request.objects.configuration.spec.metrics
    if settings is None:
        return MetricsResult(pushed=False, reason="the configuration names no Pushgateway")
    success = request.states.get(RestoreStep.VERIFY_RESTORE) == "success"
    seconds = request.run_seconds if request.run_seconds is not None else sum(request.step_seconds.values())
    return push_restore(
        settings.pushgateway,
        RestoreMetrics(
            configuration=request.objects.configuration.name,
            target=request.binding.name,
            attempt=Attempt.now(success=success, seconds=seconds, step_seconds=request.step_seconds),
            documents=sum(each.documents for each in request.restored),
            bytes=sum(each.bytes for each in request.restored),
            compared_documents=request.verified.documents if request.verified else 0,
            component_seconds={each.component: each.seconds for each in request.restored},
        ),
    )
