"""What was learned gives the same answers on every engine: frugal plans, the gate, the tree, votes by learned weights."""

import itertools
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
import ray
from knowledge_builders import EASY, HARD, saved
from partsong_actors.engine import RayEngine
from partsong_cluster.engines import open_engine, ray_engine
from ray.experimental.internal_kv import _internal_kv_list

from partsong.contracts import Answer, Row, Task
from partsong.mesh import load_mesh

pytestmark = pytest.mark.asyncio(loop_scope="session")

MESH = """\
version: 1
models:
  m0: {adapter: python, target: "voices:right"}
  m1: {adapter: python, target: "voices:right"}
  m2: {adapter: python, target: "voices:wrong"}
  m3: {adapter: python, target: "voices:broken", retries: 0}
learned: learned/
plans:
  learned: {frugal: {goal: vote, sure: 0.99}}
  by_hand:
    frugal:
      models:
        m0: {accuracy: 0.9, cost_usd: 0.01}
        m1: {accuracy: 0.8, cost_usd: 0.001}
        m2: {accuracy: 0.8, cost_usd: 0.0005}
        m3: {accuracy: 0.85, cost_usd: 0.0001}
  vote: {ensemble: {members: [m0, m1, m2], merge: {weighted: {learned: true}}, early: false}}
tree:
  if: {matches: "to the tree"}
  then: m2
gate: {among: [m0, m1], value_of_correct_usd: 0.005, explore: 0.3}
"""
VOICES = """\
async def right(task):
    return "right"


async def wrong(task):
    return "wrong 1"


async def broken(task):
    raise RuntimeError("out of order")
"""
TASKS = (
    *(Task.of(prompt, id=f"{use}-{prompt}", use=use) for use in ("learned", "by_hand", "vote") for prompt in (EASY, HARD)),
    *(Task.of(prompt, id=f"row {n}") for n, prompt in enumerate([EASY, HARD, "this goes to the tree"] * 4)),
)
rows = itertools.count()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engines(request, engine, tmp_path_factory):
    """Yield an inline engine, and one on what the suite runs on."""
    home = tmp_path_factory.mktemp("learned")
    (home / "mesh.yaml").write_text(MESH)
    (home / "voices.py").write_text(VOICES)
    saved(home)
    loaded = load_mesh(home / "mesh.yaml", env={})
    async with AsyncExitStack() as stack:
        inline = await stack.enter_async_context(open_engine("inline", loaded, home / "inline", secrets={}))
        on_ray = request.config.getoption("--engine") != "inline"
        other = await stack.enter_async_context(ray_engine(loaded, home / "ray", secrets={})) if on_ray else inline
        yield inline, other
    assert not on_ray or kept_by_the_head(other) == []


def kept_by_the_head(engine):
    prefix = f"{engine.setup.system.namespace}/{engine.setup.system.name}/".encode()
    return _internal_kv_list(prefix, namespace=b"partsong")


async def told(engine, task):
    """Return what does not depend on time of a row's answer."""
    reply = (await engine.answer(Row(run="learned", row=next(rows), task=task))).reply
    assert isinstance(reply, Answer), reply
    calls = sorted((line.step, line.model, line.outcome) for line in reply.bill)  # members of a vote end in any order
    return reply.model_copy(update={"bill": (), "latency_s": 0.0, "trace_id": ""}), calls


async def test_every_row_is_answered_alike_inline_and_here(engines):
    inline, here = engines
    for task in TASKS:
        assert await told(here, task) == await told(inline, task)


async def test_a_frugal_plan_tells_each_step(engines):
    answer, calls = await told(engines[1], next(task for task in TASKS if task.use == "by_hand"))
    assert answer.text == "right"
    assert sorted(tier.source for tier in answer.tiers) == [model for _, model, _ in calls]
    assert ["failed: worker-error" in tier.reason for tier in answer.tiers if tier.source == "m3"] == [True]


async def test_the_gate_and_the_tree_route_and_say_why(engines):
    answers = [(await told(engines[1], task))[0] for task in TASKS[6:]]
    assert {answer.route.reason for answer in answers} == {"gate", "gate explores", "tree: matches to the tree"}
    assert all(answer.route.propensity in (0.15, 0.85) and answer.route.estimates for answer in answers if answer.source != "m2")


async def test_a_coordinator_that_is_started_again_still_knows_it(engines):
    here = engines[1]
    if not isinstance(here, RayEngine):
        pytest.skip("there are no processes in one process")
    around = here.setup.around
    ray.kill(around.actor(around.coordinator(0)), no_restart=False)
    assert (await told(here, TASKS[0]))[0].text == "right"
    assert len(kept_by_the_head(here)) == 1
