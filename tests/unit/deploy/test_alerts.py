"""Alerts and dashboards ask for metrics that exist; each alert says what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from partsong.telemetry.exported import EXPORTED

ROOT = Path(__file__).parents[3]
ALERTS = ROOT / "deploy/alerts.yaml"
BOARDS = sorted((ROOT / "deploy/dashboards").glob("*.json"))
OPERATING = ROOT / "docs/operating.md"

OTHERS = {
    "probe_ssl_earliest_cert_expiry",  # Prometheus's blackbox exporter
    "ray_node_cpu_count",
    "ray_node_cpu_utilization",
    "ray_node_disk_free",
    "ray_node_disk_usage",
    "ray_node_mem_total",
    "ray_node_mem_used",
    "up",
}
"""Metrics that are not ours; tests/cluster/test_metrics.py asks a real Ray for its own."""

LABELS = {"system", "actor", "le", "job", "instance", "ip", "NodeAddress"} | {label for metric in EXPORTED for label in metric.labels}

_WORDS = {
    "and", "by", "changes", "count", "histogram_quantile", "increase", "max", "max_over_time", "min", "min_over_time", "on", "or",
    "rate", "sum", "time", "unless", "vector",
}  # fmt: skip


def rules() -> list[dict]:
    return [rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]]


def named(query: str) -> set[str]:
    """Return the metrics that a query names: words that are neither functions, labels, durations nor texts."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]', " ", query)
    return set(re.findall(r"[a-zA-Z_]\w*", bare)) - _WORDS - LABELS


def queries() -> list[tuple[str, str]]:
    found = [(f"alert {rule['alert']}", rule["expr"]) for rule in rules()]
    for board in BOARDS:
        for panel in json.loads(board.read_text())["panels"]:
            found += [(f"{board.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries(), ids=[where for where, _ in queries()])
def test_a_query_names_metrics_that_exist(where, query):
    assert named(query)
    assert named(query) <= {metric.served for metric in EXPORTED} | OTHERS


def test_a_misspelt_metric_is_noticed():
    assert named("sum by (model) (rate(ray_partsong_cals_total[5m]))") == {"ray_partsong_cals_total"}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_it_is_told_what_to_do(rule):
    annotations = rule["annotations"]
    assert rule["labels"]["severity"] in ("page", "warn")
    assert annotations["summary"]
    assert annotations["description"]
    page, _, anchor = annotations["runbook"].partition("#")
    assert (ROOT / page) == OPERATING
    assert anchor == rule["alert"].lower()
    assert f"### {rule['alert']}\n" in OPERATING.read_text()


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_of_the_shape_that_grafana_takes(board):
    told = json.loads(board.read_text())
    variables = {variable["name"] for variable in told["templating"]["list"]}
    assert told["uid"] == f"partsong-{board.stem}"
    assert told["schemaVersion"] >= 39
    assert len({panel["id"] for panel in told["panels"]}) == len(told["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in told["panels"]:
        assert panel["type"] in ("timeseries", "stat", "bargauge")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies on another"
        taken |= cells
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= variables | {"__rate_interval", "__range"}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= LABELS


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
def test_prometheus_takes_the_rules():
    subprocess.run(["promtool", "check", "rules", "--lint-fatal", ALERTS], check=True, capture_output=True)
