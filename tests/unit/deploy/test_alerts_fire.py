"""Each alert fires when it should, and not before: Prometheus's own tester works through series that bring it about."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

ALERTS = Path(__file__).parents[3] / "deploy/alerts.yaml"
RULES = {rule["alert"]: rule for group in YAML(typ="safe").load(ALERTS)["groups"] for rule in group["rules"]}

NIGHT = {"system": "night"}
MINI = {**NIGHT, "model": "mini"}
JOB = {**NIGHT, "job": "j1"}


class Case(NamedTuple):
    """Series as promtool writes them, a value every 30 s: `45x40` is 45 and forty times more, `0+10x40` rises by ten."""

    alert: str
    series: dict[str, str]
    quiet_at: str
    fires_at: str
    labels: dict[str, str]
    """Of the one alert that fires."""
    shown: str = ""
    """Its value as its summary shows it."""


CASES = [
    Case("PartsongQueueTooLong", {'calls_wait_p95{system="night", model="mini"}': "45x40"}, "4m", "6m", MINI, "45s"),
    Case(
        "PartsongBreakerOpen",
        {'breaker{system="night", model="mini", WorkerId="a"}': "0x4 2x40", 'breaker{system="night", model="quick"}': "1x40"},
        "3m",
        "6m",
        MINI,
    ),
    Case(
        "PartsongCallsFail",
        {
            'calls_total{system="night", model="mini", outcome="ok"}': "0+30x60",
            'calls_total{system="night", model="mini", outcome="timeout"}': "0+10x60",
            'calls_total{system="night", model="quick", outcome="rate-limited"}': "0+10x60",
        },
        "4m",
        "15m",
        MINI,
        "25%",
    ),
    Case(
        "PartsongRateLimited",
        {
            'calls_total{system="night", model="mini", outcome="ok"}': "0+30x80",
            'calls_total{system="night", model="mini", outcome="rate-limited"}': "0+10x80",
        },
        "10m",
        "30m",
        MINI,
        "25%",
    ),
    Case(
        "PartsongRetriesMany",
        {
            'calls_total{system="night", model="mini", outcome="ok"}': "0+20x80",
            'calls_retried_total{system="night", model="mini"}': "0+8x80",
        },
        "5m",
        "25m",
        MINI,
        "40%",
    ),
    Case(
        "PartsongWorkersMissing",
        {
            'calls_waiting{system="night", model="mini"}': "9x40",
            'workers{system="night", model="mini", state="starting"}': "1x40",
            'calls_waiting{system="night", model="quick"}': "9x40",
            'workers{system="night", model="quick", state="ready"}': "1x40",
        },
        "2m",
        "4m",
        MINI,
        "9",
    ),
    Case(
        "PartsongBudgetNearlySpent",
        {
            'limit_used{system="night", limit="usd_per_day 5 of mini"}': "0.5x10 0.95x40",
            'limit_used{system="night", limit="requests_per_minute 60 of mini"}': "1x40",
        },
        "2m",
        "8m",
        {**NIGHT, "limit": "usd_per_day 5 of mini"},
        "95%",
    ),
    Case("PartsongJobBudgetNearlySpent", {'job_budget_used{system="night", job="j1"}': "0.5x10 0.95x40"}, "2m", "8m", JOB, "95%"),
    Case(
        "PartsongRowsFail",
        {
            'steps_total{system="night", kind="row", outcome="ok"}': "0+30x60",
            'steps_total{system="night", kind="row", outcome="bad-row"}': "0+10x60",
        },
        "4m",
        "20m",
        NIGHT,
        "25%",
    ),
    Case(
        "PartsongJobStalled",
        {
            'job_share{system="night", job="j1"}': "0.4x90",
            'job_rows{system="night", job="j1", state="answered"}': "0+1x10 10x80",
            'job_share{system="night", job="j2"}': "0.4x90",
            'job_rows{system="night", job="j2", state="answered"}': "0+1x90",
        },
        "10m",
        "30m",
        JOB,
    ),
    Case("PartsongJournalStalled", {'journal_oldest{system="night"}': "0x4 20x20"}, "2m", "5m", NIGHT, "20s"),
    Case("PartsongJournalFull", {'journal_pending{system="night"}': "4000x40"}, "4m", "6m", NIGHT, "4000"),
    Case(
        "PartsongJournalGone",
        {'rows_under_way{system="night"}': "7x40", 'journal_pending{system="night"}': "0x4 stale"},
        "2m",
        "6m",
        NIGHT,
    ),
    Case(
        "PartsongEpochUnconfirmed",
        {'tenure{system="night", of="coordinator-0"}': "1x4 0x20", 'tenure{system="night", of="pools"}': "1x40"},
        "2m",
        "5m",
        {**NIGHT, "of": "coordinator-0"},
    ),
    Case(
        "PartsongReplacedOften",
        {'epoch{system="night", of="pools"}': "3x4 4+1x6", 'epoch{system="night", of="journal-0"}': "9x20"},
        "1m",
        "5m",
        {**NIGHT, "of": "pools"},
        "6",
    ),
    Case(
        "PartsongNodeLost",
        {'up{job="ray", instance="a:9100"}': "1x40", 'up{job="ray", instance="b:9100"}': "1x6 stale"},
        "2m",
        "6m",
        {},
        "1",
    ),
    Case(
        "PartsongDiskNearlyFull",
        {'ray_node_disk_free{ip="a"}': "5x40", 'ray_node_disk_usage{ip="a"}': "95x40"},
        "4m",
        "6m",
        {"ip": "a"},
        "5%",
    ),
    Case(
        "PartsongMemoryNearlyFull",
        {'ray_node_mem_used{ip="a"}': "95x40", 'ray_node_mem_total{ip="a"}': "100x40"},
        "4m",
        "6m",
        {"ip": "a"},
        "95%",
    ),
    Case(
        "PartsongCertificateExpires",
        {'probe_ssl_earliest_cert_expiry{instance="head"}': "3456000x10 432480x40"},
        "2m",
        "8m",
        {"instance": "head"},
        "5d 0h 0m 0s",
    ),
]


def test_every_alert_has_a_case():
    assert {case.alert for case in CASES} == set(RULES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="prometheus is not installed")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_not_before(case, tmp_path):
    series = [{"series": _in_full(name), "values": values} for name, values in case.series.items()]
    fired = {"exp_labels": {**case.labels, **RULES[case.alert]["labels"]}, "exp_annotations": _annotations(case)}
    expected = [
        {"alertname": case.alert, "eval_time": case.quiet_at, "exp_alerts": []},
        {"alertname": case.alert, "eval_time": case.fires_at, "exp_alerts": [fired]},
    ]
    test = {"interval": "30s", "input_series": series, "alert_rule_test": expected}
    file = tmp_path / "case.yaml"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "30s", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _in_full(name: str) -> str:
    return name if name.startswith(("up", "ray_", "probe_")) else f"ray_partsong_{name}"


def _annotations(case: Case) -> dict[str, str]:
    """Return the alert's annotations as Prometheus shows them."""

    def shown(text: str) -> str:
        labelled = re.sub(r"{{ \$labels\.(\w+) }}", lambda found: case.labels.get(found[1], ""), text)
        return re.sub(r"{{ \$value[^}]*}}", case.shown, labelled)

    return {name: shown(text) for name, text in RULES[case.alert]["annotations"].items()}
