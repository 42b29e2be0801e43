"""Metrics on their way to a Prometheus Pushgateway (https://github.com/prometheus/pushgateway#api).

A group is what one subject knows of itself, such as one session of one configuration; its key is what the Pushgateway
groups by. After a success the whole group is replaced (`PUT`): what is not true any more, such as a component that is
gone, goes. After a failure only what is told of the failure is replaced (`POST`): the last success stays where it is.
A push never turns good work into bad work: what goes wrong with it is a reason in the result.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException

from prometheus_client import CollectorRegistry, Gauge, push_to_gateway, pushadd_to_gateway

from mongo_backup.agent.contract import MetricsResult

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: a gauge, in base units (https://prometheus.io/docs/practices/naming/).

    :param words: what it tells, for Prometheus and for the reference.
    :param labels: besides those of the group.
    """

    name: str
    words: str
    labels: tuple[str, ...] = ()


class MetricGroup:
    """The metrics of one subject, filled one by one.

    :param job: the `job` label.
    :param key: the other labels that make the group.
    """

    def __init__(self, job: str, key: Mapping[str, str]) -> None:
        self.job = job
        self.key = dict(key)
        self.registry = CollectorRegistry()
        self._gauges: dict[str, Gauge] = {}

    def set(self, metric: Metric, value: float | None, **labels: str) -> None:
        """Tell a value; None is not told."""
        if value is None:
            return
        gauge = self._gauges.get(metric.name)
        if gauge is None:
            gauge = Gauge(metric.name, metric.words, metric.labels, registry=self.registry)
            self._gauges[metric.name] = gauge
        (gauge.labels(**labels) if metric.labels else gauge).set(float(value))


def push(gateway: str, group: MetricGroup, *, replace: bool) -> MetricsResult:
    """Push a group to the Pushgateway at this address; never raises for a gateway that does not take it.

    :param replace: the group is whole, and what else the Pushgateway has of it goes.
    """
    send = push_to_gateway if replace else pushadd_to_gateway
    try:
        send(gateway, job=group.job, registry=group.registry, grouping_key=group.key, timeout=TIMEOUT_SECONDS)
    except (OSError, HTTPException, ValueError) as error:
        reason = f"the Pushgateway at {gateway} did not take the metrics: {str(error)[:200] or type(error).__name__}"
        logger.warning("%s", reason)
        return MetricsResult(pushed=False, reason=reason)
    logger.info("metrics are at %s", gateway)
    return MetricsResult(pushed=True)
