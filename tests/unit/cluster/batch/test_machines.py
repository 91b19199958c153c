"""The small machines of a run: frontier, tally, quantiles, ledger, pace."""

from pathlib import Path

import pytest
from partsong_cluster.batch.estimate import Estimator
from partsong_cluster.batch.frontier import Frontier
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.position import BadRow, Position, Read
from partsong_cluster.batch.progress import Pace
from partsong_cluster.batch.tally import Tally, paid_usd

from partsong.contracts import Answer, BillLine, Failure, FailureCode, Route, TierOutcome, Usage


def read(row: int) -> Read:
    return Read(Position(row, 0, row + 1, row * 10), Position(row + 1, 0, row + 2, row * 10 + 10), "in.jsonl", BadRow("", ""))


def test_the_frontier_is_the_first_row_not_done():
    frontier = Frontier(Position())
    for row in range(3):
        frontier.enter(read(row))
    frontier.settle(1)
    assert frontier.low == read(0).at
    frontier.settle(0)
    assert frontier.low == read(2).at
    frontier.settle(2)
    assert frontier.low == read(2).after


def test_rows_done_before_move_the_frontier_only_when_nothing_is_open():
    frontier = Frontier(Position())
    frontier.skip(read(0))
    assert frontier.low == read(1).at
    frontier.enter(read(1))
    frontier.skip(read(2))
    assert frontier.low == read(1).at


def answered(latency_s: float = 1.0, *lines: BillLine, tiers: int = 1) -> Answer:
    outcomes = tuple(TierOutcome(source="a", trusted=True, reason="") for _ in range(tiers))
    return Answer(text="x", route=Route(use="faq", reason=""), bill=lines, latency_s=latency_s, tiers=outcomes)


def test_a_tally_adds_up_calls_retries_tokens_and_cost_by_model():
    tally = Tally()
    tally.add(
        answered(
            1.0,
            BillLine(step="1", model="a", usage=Usage(prompt_tokens=3, completion_tokens=2), cost_usd=0.5, attempts=3),
            BillLine(step="2", model="b", outcome="failed", failure="timeout", cost_usd=0.1),
            BillLine(step="3", model="b", outcome="cache", cost_usd=9.0),
            tiers=2,
        )
    )
    tally.add(Failure(code=FailureCode.TIMEOUT, message=""))
    assert (tally.rows, tally.answered, tally.failed, tally.failures) == (2, 1, 1, {"timeout": 1})
    assert (tally.models["a"].calls, tally.models["a"].retries, tally.models["a"].prompt_tokens) == (1, 2, 3)
    assert (tally.models["b"].failed, tally.models["b"].reused) == (1, 1)
    assert tally.cost_usd == pytest.approx(0.6)
    assert (tally.routes["faq"].rows, tally.routes["faq"].escalated) == (1, 1)


def test_what_the_cache_gave_is_not_paid_again():
    assert paid_usd(answered(1.0, BillLine(step="1", model="a", outcome="cache", cost_usd=9.0))) == 0


def test_a_tally_goes_on_after_it_was_written_down():
    tally = Tally()
    tally.add(answered(2.0, BillLine(step="1", model="a", cost_usd=0.5)))
    again = Tally.read(tally.written())
    again.add(answered(2.0))
    assert again.quantile_s(0.5) == pytest.approx(2.0, rel=0.011)
    assert again.rows == 2


def test_no_quantile_passes_the_longest_row():
    tally = Tally()
    for _ in range(10):
        tally.add(answered(1.234))
    assert tally.quantile_s(0.95) <= tally.latency_max_s == 1.234


def test_there_is_no_quantile_of_nothing():
    assert Tally().quantile_s(0.5) is None


def test_a_ledger_keeps_ids_and_position_together(tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.first_row("a", 0) == 0
    ledger.keep_position(Position(1, 0, 2, 10))
    ledger.close()
    again = Ledger(tmp_path / "ledger.db")
    assert again.position() == Position(1, 0, 2, 10)
    assert again.first_row("a", 5) == 0
    assert again.first_row("a", 0) == 0
    again.close()


def test_the_time_left_follows_from_pace_and_share():
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.left_s(0, 0.1) is None
    pace.saw(0)
    now[0] = 10.0
    pace.saw(100)
    assert pace.rows_per_s == 10
    assert pace.left_s(100, 0.25) == 30
    assert pace.left_s(100, None) is None


def test_an_estimate_counts_every_model_that_a_plan_may_ask(tmp_path: Path):
    from partsong.contracts import Task
    from partsong.mesh import load_text

    (tmp_path / "outcomes.jsonl").touch()
    text = """
    version: 1
    models:
      a: {adapter: recorded, file: outcomes.jsonl, price: {input: 0, output: 1000}}
      b: {adapter: recorded, file: outcomes.jsonl, price: {input: 0, output: 2000}, fallbacks: [c]}
      c: {adapter: recorded, file: outcomes.jsonl, price: {input: 0, output: 5000}}
    plans:
      vote: {ensemble: {members: [a, b, a], merge: majority}}
    """
    estimator = Estimator(load_text(text, tmp_path, env={}).mesh)
    assert estimator.calls("vote") == {"a": 2, "b": 1}
    assert estimator.most_usd(Task.of("x")) == pytest.approx(1024 * (2 * 0.001 + 0.005))


@pytest.mark.parametrize(
    ("plan", "calls"),
    [
        ("{layers: {proposers: [a, b], rounds: 3, aggregator: c}}", {"a": 3, "b": 3, "c": 1}),
        ("{cascade: [{ask: a, trust: {samples: 5}}, {ask: b}]}", {"a": 5, "b": 1}),
        ("{cascade: [{ask: a, trust: {agrees_with: {models: [b, b], merge: {best: {judge: c}}}}}, {ask: b}]}", {"a": 1, "b": 3, "c": 6}),
        ("{ensemble: {members: [a, b, a], merge: {best: {judge: c}}}}", {"a": 2, "b": 1, "c": 6}),
        ("{pipeline: [{ask: a, retries: 2, check: {verifier: c}}, {ask: b, prompt: '{{ previous }}'}]}", {"a": 3, "c": 3, "b": 1}),
        ("{decompose: {planner: a, workers: {text: b}, compose: c, max_subtasks: 5}}", {"a": 9, "b": 5, "c": 1}),
        ("{ensemble: {members: [inner, inner]}}", {"a": 4, "b": 4, "c": 2}),
    ],
)
def test_an_estimate_counts_every_call_that_a_plan_may_come_to(tmp_path: Path, plan: str, calls: dict[str, int]):
    assert priced(tmp_path, plan).calls("p") == calls


def test_an_estimate_counts_the_repair_of_every_answer_in_json(tmp_path: Path):
    from partsong.contracts import Task

    estimator, task = priced(tmp_path, "{direct: a}"), Task.of("x", use="p")
    assert estimator.most_usd(task.model_copy(update={"answer_schema": {}})) == pytest.approx(2 * estimator.most_usd(task))


def priced(folder: Path, plan: str) -> Estimator:
    from partsong.mesh import load_text

    (folder / "outcomes.jsonl").touch()
    models = "\n".join(f"  {name}: {{adapter: recorded, file: outcomes.jsonl, price: {{input: 1, output: 1}}}}" for name in "abc")
    inner = "  inner: {layers: {proposers: [a, b], rounds: 2, aggregator: c}}"
    return Estimator(load_text(f"version: 1\nmodels:\n{models}\nplans:\n  p: {plan}\n{inner}\nroutes: [{{use: p}}]\n", folder, env={}).mesh)
