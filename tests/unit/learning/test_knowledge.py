"""What plans and routes are told of what was learned."""

from dataclasses import replace

import pytest
from knowledge_builders import EASY, HARD, MODELS, knowledge

from partsong.learning.goal import Goal
from partsong.learning.guarantee import Promise
from partsong.learning.judged import Kept
from partsong.learning.knowledge import Knowledge
from partsong.packing import pack


def promising() -> Knowledge:
    """Return the same with a promise that was kept, at a level of its own."""
    learned = knowledge().learned
    policy = learned.policies.frugal[Goal.BEST]
    strict = replace(policy, option=replace(policy.option, level=0.9876))
    kept = Kept(Promise(kept=True, index=0, p_value=0.01, more_rows=0), "kept", 40, learned.policies.gate, strict, None)
    return Knowledge(pack(replace(learned, kept=kept)))


def test_what_can_be_aimed_at_is_what_was_learned():
    assert knowledge().aims == ("best", "cost", "vote")
    assert knowledge().asks("promised") == ()
    assert promising().aims == ("best", "cost", "vote", "promised")


def test_a_promise_goes_by_the_policy_that_it_was_tested_with():
    assert promising().inquiry("promised", EASY).enough == pytest.approx(0.9876)
    assert promising().inquiry("best", EASY).enough == knowledge().inquiry("best", EASY).enough


def test_a_prompt_that_is_harder_leaves_every_model_less_likely_right():
    easy, hard = knowledge().estimates(EASY), knowledge().estimates(HARD)
    assert tuple(easy) == MODELS
    assert all(easy[model].right > hard[model].right for model in MODELS)
    assert [hard[model].cost_usd for model in MODELS] == sorted((e.cost_usd for e in hard.values()), reverse=True)
    assert hard["m0"].latency_s == pytest.approx(2.0, rel=0.01)


def test_an_ensemble_is_worth_what_it_was_judged_to_be():
    found = knowledge().measured("best")
    figure = next(f for f in knowledge().learned.figures if f.policy == "frugal@best")
    assert found is not None
    assert (found.right, found.cost_usd) == (figure.accuracy, pytest.approx(figure.usd_per_1000 / 1000))
    assert 0.1 <= found.latency_s <= 2.0 * len(MODELS)
    assert knowledge().measured("promised") is None


def test_how_sure_an_ensemble_is_becomes_how_often_it_is_right():
    assert 0.0 < knowledge().honest("vote", 0.6) < knowledge().honest("vote", 0.99) <= 1.0
