"""What watches a deployment watches metrics that exist, and its alerts fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import services.audio_sentiment.metrics
import services.composer.metrics  # noqa: F401
from deepsing.runtime import batching, supervision  # noqa: F401
from deepsing.telemetry.metrics import DECLARED, Counter, Histogram
from deepsing.telemetry.observation import MetricsInterceptor, ServiceTelemetry
from tests.architecture.test_deploy import container, deployments, environment, render_manifests
from tests.architecture.tree import ROOT, SERVICES

PROMTOOL = shutil.which("promtool")
METRIC = re.compile(r"\b((?:deepsing|grpc)_[a-z_]+)\b(?:\{([^}]*)\})?")
MOST_SERIES = 180  # of one metric, in one process; the composer has 10 calls with 17 codes each
OF_SCRAPING = {"pod", "le"}  # labels that Prometheus adds
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """All metrics of the four services, by the name under which their module declares them."""
    MetricsInterceptor("deepsing.v1.ComposerService")
    for service in SERVICES:
        ServiceTelemetry(service, "", metrics=False)
    return {name: metric for name, metric in DECLARED.items() if name.startswith(("deepsing_", "grpc_"))}


def series_names(metrics: dict[str, Any]) -> dict[str, Any]:
    """By the names that Prometheus sees."""
    ends = {Counter: ("_total",), Histogram: ("_bucket", "_sum", "_count")}
    return {name + end: metric for name, metric in metrics.items() for end in ends.get(type(metric), ("",))}


def resource(kind: str) -> dict[str, Any]:
    (only,) = (one for one in render_manifests("overlays/monitored") if one["kind"] == kind)
    return only


def rules() -> list[dict[str, Any]]:
    return [rule for group in resource("PrometheusRule")["spec"]["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    triggers = resource("ScaledObject")["spec"]["triggers"]
    return [rule["expr"] for rule in rules()] + [trigger["metadata"]["query"] for trigger in triggers]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_metrics_and_labels_that_are_exported(expression: str, metrics: dict[str, Any]) -> None:
    known = series_names(metrics)
    asked = METRIC.findall(expression)
    assert asked
    for name, matchers in asked:
        assert name in known
        for label, value in re.findall(r'(\w+)="([^"]*)"', matchers):
            assert label in known[name].labels or label in OF_SCRAPING
            assert label in OF_SCRAPING or label == "service" or value in known[name].labels[label]
    grouped = {label.strip() for names in re.findall(r"by \(([^)]*)\)", expression) for label in names.split(",")}
    labels = {label for name, _ in asked for label in known[name].labels}
    assert grouped <= labels | OF_SCRAPING | {"service"}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "action"}


def test_an_alert_that_speaks_of_a_setting_names_one_that_exists() -> None:
    from tests.architecture.test_deploy import list_variables

    said = set(re.findall(r"DEEPSING_[A-Z_]+", yaml.safe_dump(rules())))
    assert said <= {variable for service in SERVICES for variable in list_variables(service)}
    assert said


def test_prometheus_scrapes_the_port_where_every_service_shows_its_metrics() -> None:
    (endpoint,) = resource("PodMonitor")["spec"]["podMetricsEndpoints"]
    wanted = set(resource("PodMonitor")["spec"]["selector"]["matchExpressions"][0]["values"])
    assert wanted == set(deployments("overlays/monitored"))
    for deployment in deployments("overlays/monitored").values():
        ports = {port["name"]: port["containerPort"] for port in container(deployment)["ports"]}
        assert str(ports[endpoint["port"]]) == environment(deployment)["DEEPSING_SERVER_METRICS_PORT"]


def test_the_generator_scales_from_none_and_nothing_else_says_how_many_there_are() -> None:
    scaled = resource("ScaledObject")["spec"]
    deployment = deployments("overlays/monitored")[scaled["scaleTargetRef"]["name"]]
    assert scaled["minReplicaCount"] == 0
    assert "replicas" not in deployment["spec"]


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    trial = yaml.safe_load((ROOT / "tests/architecture/alerts.yaml").read_text(encoding="utf-8"))
    tried = {case["alertname"] for case in trial["tests"][0]["alert_rule_test"]}
    assert tried == {rule["alert"] for rule in rules()}
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(resource("PrometheusRule")["spec"]))
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({**trial, "rule_files": ["rules.yaml"]}))
    answer = subprocess.run(
        [str(PROMTOOL), "test", "rules", "alerts.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_table_of_metrics_is_the_code(metrics: dict[str, Any]) -> None:
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
    ends = {"counter": "_total"}
    code = {
        (name + ends.get(metric.kind.lower(), ""), metric.kind.lower(), ", ".join(metric.labels), metric.text)
        for name, metric in metrics.items()
    }
    assert {tuple(cell.strip() for cell in row) for row in table} == code
    assert len(table) == len(code)


def test_no_label_can_grow_without_end(metrics: dict[str, Any]) -> None:
    for metric in metrics.values():
        assert len(metric.start) <= MOST_SERIES, metric.name
