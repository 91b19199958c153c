"""An open mesh over sessions on one store: limits of dollars a day hold, rollouts go on; a budget is refused where it could not hold."""

import time

import pytest

from partsong.contracts import Answer
from partsong.errors import BudgetError, MeshError
from partsong.opened import open_mesh

ECHO = """\
from pathlib import Path

def answer(task):
    Path(__file__).with_name("asked").touch()
    return task.text
"""
MESH = """\
version: 1
models:
  dear: {adapter: python, target: "echo:answer", price: {input: 0, output: 0, request: 1}, limits: {usd_per_day: 3}}
  unpriced: {adapter: python, target: "echo:answer"}
plans:
  climb: {cascade: [{ask: dear, trust: {verifier: unpriced}}, {ask: dear}]}
routes: [{use: dear}]
store: {url: "sqlite:///shared.db"}
"""

ROLLOUT = """\
experiments:
  trial:
    rollout:
      champion: dear
      challenger: unpriced
      stages: [{share: 0.4, rows: 5}, {share: 1}]
      guardrails: {failure_rise: null, accuracy_drop: null}
routes: [{use: trial}]"""


@pytest.fixture
def mesh(tmp_path):
    (tmp_path / "echo.py").write_text(ECHO)
    path = tmp_path / "mesh.yaml"
    path.write_text(MESH)
    return path


async def answered(mesh, questions: int) -> int:
    """Open the mesh, ask as long as the budget allows, and return how many were answered."""
    async with open_mesh(mesh, env={}) as opened:
        for number in range(questions):
            try:
                assert isinstance(await opened.ask(f"Question {number}?"), Answer)
            except BudgetError:
                return number
    return questions


async def test_dollars_of_a_day_are_counted_over_sessions(mesh):
    assert [await answered(mesh, 2) for _ in range(3)] == [2, 1, 0]


async def test_a_stream_counts_what_earlier_sessions_of_the_day_spent(mesh):
    assert await answered(mesh, 2) == 2
    async with open_mesh(mesh, env={}) as opened:
        replies = opened.stream(["One?", "Two?"], concurrency=1)
        assert isinstance(await anext(replies), Answer)
        with pytest.raises(BudgetError):
            await anext(replies)


async def test_what_was_spent_yesterday_is_not_counted_by_a_mesh_that_is_asked_first_after_midnight(mesh, monkeypatch):
    assert await answered(mesh, 3) == 3
    async with open_mesh(mesh, env={}) as opened:
        now_s = time.time()
        monkeypatch.setattr(time, "time", lambda: now_s + 86_400.0)
        assert isinstance(await opened.ask("Is it tomorrow?"), Answer)


@pytest.mark.parametrize("use", [None, "unpriced", "climb"])
async def test_a_budget_over_a_model_without_a_price_is_refused_before_the_first_call(mesh, tmp_path, use):
    async with open_mesh(mesh, env={}) as opened:
        with pytest.raises(MeshError, match="unpriced has no price"):
            await anext(opened.stream(["One?"], use=use, budget_usd=5.0))
    assert not (tmp_path / "asked").exists()


async def test_a_budget_over_priced_models_is_taken(mesh):
    async with open_mesh(mesh, env={}) as opened:
        assert [reply.text async for reply in opened.stream(["One?"], use="dear", budget_usd=3.0)] == ["One?"]


async def test_a_rollout_goes_on_in_the_next_session_from_the_stage_that_it_had_come_to(mesh):
    mesh.write_text(MESH.replace("usd_per_day: 3", "usd_per_day: 99").replace("routes: [{use: dear}]", ROLLOUT))
    reasons = []
    for _ in range(2):
        async with open_mesh(mesh, env={}) as opened:
            reasons.append([(await opened.ask(f"Question {number}?")).route.reason.split("; ")[1].split(":")[0] for number in range(5)])
    assert reasons == [["trial at 40 %"] * 5, ["trial at 100 %"] * 5]
