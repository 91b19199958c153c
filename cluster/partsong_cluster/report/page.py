"""Page: a report as one HTML file that needs nothing else: no script, no font, no picture from elsewhere."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from partsong.contracts import Answer, Reply
from partsong_cluster.batch.disk import replace_file
from partsong_cluster.report.baseline import baseline_cells, baseline_columns
from partsong_cluster.report.cells import share_cell, usd_cell
from partsong_cluster.report.columns import summary_columns
from partsong_cluster.report.contents import FailureExample, PlanLine, Report, Section
from partsong_cluster.report.headline import front_names, headline
from partsong_cluster.report.plot import plot, proof_plot
from partsong_cluster.report.proof_words import proof_words
from partsong_cluster.report.timeline import timeline
from partsong_cluster.report.words import counted, money, points, seconds, share

__all__ = ["REPORT", "page", "write_report"]

REPORT = "report.html"


def write_report(folder: Path, report: Report) -> Path:
    """Write the page into the folder and return its path."""
    path = folder / REPORT
    replace_file(path, page(report).encode("utf-8", "replace"))  # half a surrogate pair, as some models write, becomes `?`
    return path


def page(report: Report) -> str:
    """Return the page; whatever comes from models or input is escaped."""
    text: str = _template().render(report=report)
    return text


@cache
def _template() -> Any:
    # not the sandbox of prompts: this template is ours; autoescape is what keeps a model's answer text
    environment = Environment(
        loader=PackageLoader("partsong_cluster.report", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        front_names=front_names,
        headline=headline,
        plot=plot,
        proof_plot=proof_plot,
        proof_words=proof_words,
        share_cell=share_cell,
        usd_cell=usd_cell,
        points=points,
        timeline=timeline,
        summary_columns=lambda section: list(summary_columns(section)),
        table_columns=baseline_columns,
        table_cells=baseline_cells,
        failures=_failures,
        routes=_routes,
        told=_told,
        is_failure=_is_failure,
    )
    environment.filters.update(money=money, seconds=seconds, share=share, counted=counted, digits=_digits)
    return environment.get_template("report.html.j2")


def _failures(section: Section) -> list[tuple[str, str, int, FailureExample | None]]:
    """Return how often each way failed with each code, and one of the rows."""
    examples = {(one.plan, one.code): one for one in section.failed}
    return [
        (line.name, code, count, examples.get((line.name, code))) for line in section.lines for code, count in line.summary.failures.items()
    ]


def _routes(section: Section) -> list[tuple[PlanLine, list[tuple[str, int]]]]:
    """Return the ways that rows were sent along for more than one reason."""
    return [(line, list(line.summary.routes.items())[:12]) for line in section.lines if len(line.summary.routes) > 1]


def _is_failure(reply: Reply) -> bool:
    return not isinstance(reply, Answer)


def _told(reply: Reply) -> str:
    """Return the reply in one piece of text."""
    return reply.text if isinstance(reply, Answer) else f"{reply.code}: {reply.message}"


def _digits(value: float) -> str:
    return f"{value:.2f}"
