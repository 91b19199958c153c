"""Summaries: what a plan did over many rows, in flat memory."""

import tracemalloc
from random import Random
from statistics import quantiles

import pytest

from partsong.contracts import Answer, BillLine, Failure, FailureCode, Reply, Route, RowRecord, Usage
from partsong.evaluation.quantiles import Quantiles
from partsong.evaluation.summary import Summing


def record(reply: Reply) -> RowRecord:
    return RowRecord(run="r", row=0, custom_id="1", reply=reply)


def answered(*lines: BillLine, latency_s: float = 1.0, reason: str = "only one") -> RowRecord:
    return record(Answer(text="x", bill=lines, latency_s=latency_s, route=Route(use="faq", reason=reason)))


def line(model: str, cost_usd: float = 0.0, cpu_s: float = 0.0) -> BillLine:
    return BillLine(step="s", model=model, cost_usd=cost_usd, cpu_s=cpu_s, usage=Usage(prompt_tokens=10, completion_tokens=2))


def test_a_summary_says_how_often_right_at_what_cost_and_who_was_asked():
    summing = Summing("faq")
    summing.add(answered(line("mini", 0.001, 0.5), latency_s=1.0), right=True)
    summing.add(answered(line("mini", 0.001, 0.5), line("large", 0.01), latency_s=3.0), right=False)
    summing.add(record(Failure(code=FailureCode.TIMEOUT, message="late", bill=(line("mini", 0.002),))), right=False)
    summing.add(answered(line("mini"), line("mini")))
    summary = summing.summary()
    assert (summary.rows, summary.failed, summary.failures) == (4, 1, {"timeout": 1})
    assert (summary.graded, summary.right, summary.accuracy) == (3, 1, pytest.approx(1 / 3))
    assert summary.usd_per_1000 == pytest.approx(0.014 / 4 * 1000)
    assert summary.cpu_s_per_1000 == pytest.approx(250.0)
    assert summary.reached == {"mini": 1.0, "large": 0.25}
    assert (summary.calls_per_row, summary.prompt_tokens, summary.completion_tokens) == (1.5, 60, 12)
    assert summary.latency_p95_s == pytest.approx(3.0, rel=0.01)
    assert summary.routes == {"only one": 3}


def test_every_figure_of_a_summary_has_its_interval():
    summing = Summing("faq")
    for number in range(100):
        summing.add(answered(line("mini", 0.001 * (1 + number % 2)), latency_s=float(number + 1)), right=True)
    summary = summing.summary()
    assert summary.usd_per_1000_interval == pytest.approx((1.4, 1.6), abs=0.01)
    assert summary.calls_per_row_interval == (1.0, 1.0)
    assert summary.latency_p50_s_interval == pytest.approx((40.0, 61.0), rel=0.01)
    assert summary.latency_p95_s_interval == pytest.approx((90.0, 100.0), rel=0.01)


def test_too_few_rows_have_none():
    summing = Summing("faq")
    summing.add(answered(line("mini", 0.001)))
    summary = summing.summary()
    assert (summary.usd_per_1000_interval, summary.latency_p50_s_interval, summary.latency_p95_s_interval) == (None, None, None)


def test_a_summary_of_nothing_is_all_zero():
    summary = Summing("faq").summary()
    assert (summary.rows, summary.accuracy, summary.latency_p50_s, summary.reached) == (0, None, 0.0, {})


def test_quantiles_are_within_one_per_cent():
    dice = Random(3)
    values = [dice.lognormvariate(0, 2) for _ in range(20_000)]
    sketch = Quantiles()
    for value in values:
        sketch.add(value)
    exact = quantiles(values, n=100)
    assert sketch.at(0.5) == pytest.approx(exact[49], rel=0.015)
    assert sketch.at(0.95) == pytest.approx(exact[94], rel=0.015)


def test_quantiles_of_zeros_are_zero():
    sketch = Quantiles()
    for _ in range(3):
        sketch.add(0.0)
    assert sketch.at(0.95) == 0.0


def test_memory_stays_flat_over_many_rows():
    dice = Random(5)
    summing = Summing("faq")
    rows = [answered(line("mini"), latency_s=dice.lognormvariate(0, 1), reason=f"gate said {n}") for n in range(2_000)]
    for row in rows:
        summing.add(row, right=True)
    tracemalloc.start()
    for _ in range(10):
        for row in rows:
            summing.add(row, right=True)
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert grown < 20_000
