"""The report: `report.html`, one self-contained page on what ways of combining models cost and how often they were right."""

from partsong_cluster.report.contents import (
    CostUnit,
    Fact,
    FailureExample,
    Live,
    ModelLine,
    PlanLine,
    Proved,
    Report,
    SampleRow,
    Section,
    Shown,
)
from partsong_cluster.report.gather import PlanRun, section_of
from partsong_cluster.report.page import REPORT, page, write_report
from partsong_cluster.report.single import write_run_report

__all__ = [
    "REPORT",
    "CostUnit",
    "Fact",
    "FailureExample",
    "Live",
    "ModelLine",
    "PlanLine",
    "PlanRun",
    "Proved",
    "Report",
    "SampleRow",
    "Section",
    "Shown",
    "page",
    "section_of",
    "write_report",
    "write_run_report",
]
