"""The page: one file, nothing from elsewhere, whatever is in it escaped."""

import math
import re
from pathlib import Path

from partsong_cluster.report import Live, page, write_report
from report_builders import HOSTILE, hostile_report, record, report, section, way


def test_nothing_is_loaded_from_elsewhere():
    html = page(report(section(way("a", "++-", single=True), way("b", "+++"))))
    assert not re.search(r"\b(?:src|href)=|url\(|@import", html)
    assert "<script" not in html
    assert "default-src 'none'" in html


def test_whatever_models_and_input_say_is_escaped():
    html = page(hostile_report())
    assert HOSTILE not in html
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html


def test_the_plot_draws_every_way_and_the_front():
    html = page(report(section(way("solo", "++-", single=True), way("duet", "+++", cost_usd=0.1))))
    assert html.count('class="mark single"') == 1
    assert html.count('class="mark combined"') == 1
    assert 'class="front"' in html


def test_a_name_stands_nearer_to_its_own_mark_than_to_any_other():
    costs = {"left": 0.0100, "middle": 0.0120, "right": 0.0145}
    ways = [way(name, "+" * (18 if name == "middle" else 17) + "---", cost_usd=cost_usd) for name, cost_usd in costs.items()]
    html = page(report(section(way("solo", "+-" * 10, cost_usd=0.0001, single=True), *ways)))
    marks = {name: (float(x), float(y)) for name, x, y in re.findall(r"<title>(\w+): [^<]*</title><path d=\"M([\d.]+) ([\d.]+)m", html)}
    labels = {name: (float(x), float(y) - 4) for x, y, name in re.findall(r'class="label combined" x="([\d.]+)" y="([\d.]+)">(\w+)<', html)}
    assert set(marks) == set(labels) == set(costs)

    def away(name: str, mark: str) -> float:
        (x, y), (at_x, at_y) = labels[name], marks[mark]
        return math.hypot(max(x - at_x, 0.0, at_x - x - 7.2 * len(name)), max(abs(y - at_y) - 8, 0.0))

    assert {name: min(marks, key=lambda mark: away(name, mark)) for name in labels} == {name: name for name in labels}


def test_ways_that_cost_nothing_can_be_plotted():
    assert 'class="plot"' in page(report(section(way("a", "++", cost_usd=0.0, single=True), way("b", "+-", cost_usd=0.0))))


def test_one_way_alone_has_no_plot():
    assert "<svg" not in page(report(section(way("a", "++", single=True))))


def test_failures_are_listed_by_code():
    assert "timeout" in page(report(section(way("a", "+x", single=True))))


def test_what_was_left_out_is_said():
    assert "no weights here" in page(report(section(way("a", "+", single=True)), left_out=("no weights here",)))


def test_a_live_request_that_failed_shows_why():
    live = Live(request="Do three things.", reply=record(0, None).reply)
    assert "no reply within 60 s" in page(report(live=live))


def test_an_empty_section_is_a_page_too():
    assert "A section" in page(report(section(way("a", "", single=True))))


def test_the_report_is_written_as_one_file(tmp_path: Path):
    path = write_report(tmp_path, report(section(way("a", "+", single=True))))
    assert path == tmp_path / "report.html"
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
