"""Alert rules and dashboard, by Prometheus' own checker, and against the metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mongo_backup.metrics.catalogue import SUBJECTS
from sandbox.promtool import promtool

FOLDER = Path(__file__).parents[3] / "include" / "monitoring"
LABELS = {
    metric.name: {*subject.labels, *metric.labels, "job", "instance"}
    for subject in SUBJECTS
    for metric in subject.metrics
}
METRIC = re.compile(r"\bmongo_backup\w*")
SELECTED = re.compile(r"\b(mongo_backup\w*)(?:\{([^}]*)\})?")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[str]:
    """All that dashboard and rules ask Prometheus."""
    yield from (rule["expr"] for rule in alerts())
    shown = dashboard()
    yield from (target["expr"] for panel in shown["panels"] for target in panel["targets"])
    yield from (each["definition"] for each in shown["templating"]["list"] if each["type"] == "query")
    yield from (each["expr"] for each in shown["annotations"]["list"])


def test_rules_and_configuration() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "config", FOLDER / "prometheus.yaml")


def test_alerts_fire_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "alerts_test.yaml")


def test_every_alert_is_tested_and_says_what_to_do() -> None:
    tests = (FOLDER / "alerts_test.yaml").read_text()
    for rule in alerts():
        assert f'alertname="{rule["alert"]}"' in tests
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "runbook"}


def test_every_metric_is_one_that_there_is() -> None:
    used = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(used) > 20
    assert used <= LABELS.keys()


def test_every_label_is_one_that_the_metric_has() -> None:
    for expression in expressions():
        for name, selector in SELECTED.findall(expression):
            assert set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)\s*\"", selector)) <= LABELS[name], expression
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            names = METRIC.findall(target["expr"])
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= set.union(*map(LABELS.get, names))


def test_the_dashboard_can_be_provisioned_anywhere() -> None:
    """It names no data source of anybody's, and no two panels lie upon each other."""
    shown = dashboard()
    assert "id" not in shown
    sources = {json.dumps(each["datasource"]) for panel in shown["panels"] for each in (panel, *panel["targets"])}
    assert sources == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in shown["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
