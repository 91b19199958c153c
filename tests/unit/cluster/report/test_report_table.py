"""A section's table on the terminal: no figure is cut, however narrow that is."""

from io import StringIO

import pytest
from partsong_cluster.report.cells import latency_cells
from partsong_cluster.report.table import baseline_tables, section_table
from report_builders import section, way
from rich.console import Console, Group

SECTION = section(
    way("a-model-with-a-long-name", "+" * 20 + "x" * 20, cost_usd=1234.5, single=True),
    way("small", "+" * 30 + "-" * 10, cost_usd=0.001, single=True),
    way("both-of-them", "+" * 39 + "-", cost_usd=2.25),
    strong="a-model-with-a-long-name",
)


def shown(width: int) -> str:
    file = StringIO()
    Console(file=file, width=width).print(Group(section_table(SECTION), *baseline_tables(SECTION)))
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_figure_is_cut(width: int):
    told = shown(width)
    p95s = [value for line in SECTION.lines for value in latency_cells(line.summary)[1]]
    assert all(value in told for value in (*p95s, "p95", "1,234,500.00", "97.5 %", "87.1\u201399.6"))
    assert all(len(line.rstrip()) <= width for line in told.splitlines())


def test_what_is_too_wide_stands_below_under_the_names_again():
    assert shown(200).count("small") == 2
    assert shown(60).count("small") > 2
