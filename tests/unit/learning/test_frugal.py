from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.learning.made import made

from partsong.learning.frugal import Goal, Option, at_every_rung, choose, fit_frugal, vote_accuracy
from partsong.learning.gate import fit_gate
from partsong.learning.outcomes import Outcomes
from partsong.learning.posterior import ballots, fit_posterior
from partsong.learning.weights import correlation_discount, log_odds


def flat(table: Outcomes) -> np.ndarray:
    return np.tile(table.accuracy, (len(table), 1))


def played(table: Outcomes, policy, p_right: np.ndarray) -> tuple[float, float]:
    """Return accuracy and cost of a policy that sees answers only as it asks for them."""
    votes, nothing = policy.posterior.votes(p_right), policy.posterior.nothing(p_right)
    right, cost = [], []
    for i in range(len(table)):
        known = dict(zip(table.models, table.answers[i], strict=True))
        decision = policy.decide(votes[i], float(nothing[i]), known.__getitem__)
        assert len(set(decision.asked)) == len(decision.asked)
        right.append(decision.answer in {"right", "120"})
        cost.append(sum(table.cost_usd[i, table.models.index(m)] for m in decision.asked))
    return float(np.mean(right)), float(np.mean(cost))


def test_the_best_single_models_accuracy_is_reached_for_less():
    train, test = (made(1500, seed, strengths=(3.5, 3.0, 2.8, 2.6)) for seed in (1, 2))
    aim = float(train.accuracy.max())
    policy = fit_frugal(train, flat(train), {Goal.BEST: aim})[Goal.BEST]
    accuracy, cost = played(test, policy, np.tile(train.accuracy, (len(test), 1)))
    assert accuracy > float(test.accuracy.max()) - 0.03
    assert cost < 0.9 * float(test.mean_cost_usd[0])


def test_confidence_is_calibrated_on_rows_it_has_not_seen():
    train, test = made(1500), made(1500, seed=5)
    policy = fit_frugal(train, flat(train), {Goal.COST: 1.0})[Goal.COST]
    p = np.tile(train.accuracy, (len(test), 1))
    votes, nothing = policy.posterior.votes(p), policy.posterior.nothing(p)
    asked = [
        policy.decide(votes[i], float(nothing[i]), dict(zip(test.models, test.answers[i], strict=True)).__getitem__)
        for i in range(len(test))
    ]
    sure, right = np.array([d.p_right for d in asked]), np.array([d.answer == "right" for d in asked])
    assert abs(sure.mean() - right.mean()) < 0.03


def test_only_models_whose_price_is_known_are_asked():
    table = made(400)
    cost = table.cost_usd.copy()
    cost[:, 0] = np.nan
    unpriced = Outcomes(table.models, table.prompts, table.right, table.answers, cost)
    policy = fit_frugal(unpriced, flat(table), {Goal.VOTE: 0.99})[Goal.VOTE]
    assert "m0" not in policy.posterior.models


def test_copies_of_a_model_are_not_counted_as_many_voices():
    one = made(1200, strengths=(1.5, 1.5))
    copies = Outcomes(
        ("a", "a again", "a once more", "b"),
        one.prompts,
        one.right[:, [0, 0, 0, 1]],
        tuple((x, x, x, y) for x, y in one.answers),
        np.ones((1200, 4)),
    )
    weight = fit_posterior(copies, flat(copies), range(4)).weight
    assert weight[:3].mean() < 0.75 * weight[3]
    own = correlation_discount(copies.right)
    assert own[0] < 0.5 < own[3]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=4, max_size=4), st.floats(-2, 2))
def test_each_answer_in_turn_gives_a_probability_and_an_answer_that_was_said(answers: list[str | None], nothing: float):
    policy = POLICY
    said = dict(zip(policy.posterior.models, answers, strict=True))
    decision = policy.decide(policy.posterior.weight, nothing, said.__getitem__)
    assert 0.0 <= decision.p_right <= 1.0
    assert decision.answer in [said[m] for m in decision.asked]
    assert decision.why


POLICY = fit_frugal(made(300), flat(made(300)), {Goal.COST: 1.0})[Goal.COST]


def test_the_gate_knows_hard_prompts_from_easy_ones_and_gives_honest_chances():
    train, test = made(600), made(600, seed=3)
    gate, unseen = fit_gate(train)
    p = gate.p_right(test.prompts)
    hard = np.array([k == "hard" for k in test.kinds])
    assert (p[~hard].mean(axis=0) > p[hard].mean(axis=0) + 0.1).all()
    assert abs(p.mean(axis=0) - test.right.mean(axis=0)).max() < 0.06
    assert unseen.shape == train.right.shape


def test_an_answer_with_two_labels_counts_as_wrong_in_the_ballots():
    table = Outcomes(("a", "b"), ("q",), np.array([[1.0, 0.0]]), (("x", "x"),), np.ones((1, 2)))
    assert ballots(table).right.tolist() == [[0.0]]


def test_an_answer_that_nobody_judged_is_neither_right_nor_wrong():
    table = Outcomes(
        ("a", "b", "c"), ("q", "r"), np.array([[1.0, np.nan, np.nan], [np.nan, 0.0, 0.0]]), (tuple("xxy"), tuple("xyy")), np.ones((2, 3))
    )
    assert ballots(table).right.tolist() == pytest.approx(np.array([[1.0, np.nan], [np.nan, 0.0]]), nan_ok=True)
    assert vote_accuracy(table, np.array([1.0, 0.1, 0.1])) == 1.0  # of the second row's vote nothing is known


def test_weights_are_fitted_though_most_answers_are_not_judged():
    table = made(600)
    right = np.where(np.random.default_rng(1).random(table.right.shape) < 0.6, np.nan, table.right)
    sparse, full = (fit_posterior(t, flat(table), range(4)) for t in (replace(table, right=right), table))
    assert sparse.weight == pytest.approx(full.weight, abs=0.5)
    assert sparse.none == pytest.approx(full.none, abs=0.5)


def telling(rows: int, seed: int = 0) -> Outcomes:
    """Return made outcomes of which half the wrong answers are broken numbers, and all right ones whole."""
    table = made(rows, seed)
    spoken = {"right": "120", "bad 1": "1.5", "bad 2": "2.5", "bad 3": "130", "bad 4": "140"}
    answers = tuple(tuple(spoken[answer] for answer in row) for row in table.answers)
    return replace(table, answers=answers)


def test_what_wrong_answers_look_like_is_learned_and_counts_against_them():
    table = telling(600)
    look = fit_posterior(table, flat(table), range(4)).look
    assert look.of("7.5") < look.of("170") - 1.0
    plain = made(600)
    assert fit_posterior(plain, flat(plain), range(4)).look.of("7.5") == pytest.approx(0.0, abs=0.5)


def test_a_vote_by_log_odds_lets_one_strong_model_outweigh_two_weak_ones():
    assert log_odds(np.array([0.99]))[0] > 2 * log_odds(np.array([0.6]))[0]
    table = Outcomes(("a", "b", "c"), ("q",), np.array([[1.0, 0.0, 0.0]]), (("x", "y", "y"),), np.ones((1, 3)))
    assert vote_accuracy(table, log_odds(np.array([0.99, 0.6, 0.6]))) == 1.0


DEAR, FAIR, CHEAP = Option((0, 1), 0.9, 0.951, 0.95), Option((1, 2), 0.9, 0.945, 0.3), Option((2,), 0.9, 0.9, 0.05)


def test_an_option_a_hair_less_accurate_is_taken_when_it_costs_a_third():
    assert choose([DEAR, FAIR, CHEAP], Goal.BEST, aim=0.95, best_usd=1.0, vote_usd=10.0) == FAIR


def test_when_the_vote_costs_ten_times_as_much_the_last_bit_of_accuracy_is_bought():
    assert choose([DEAR, FAIR, CHEAP], Goal.VOTE, aim=0.94, best_usd=1.0, vote_usd=10.0) == DEAR


def test_what_costs_more_than_the_best_single_model_is_not_taken_for_its_cost():
    assert choose([DEAR, FAIR, CHEAP], Goal.COST, aim=1.0, best_usd=0.5, vote_usd=10.0) == FAIR


def test_an_aim_that_nothing_reaches_gets_the_most_accurate():
    assert choose([DEAR, FAIR, CHEAP], Goal.VOTE, aim=0.99, best_usd=1.0, vote_usd=10.0) == DEAR


@pytest.mark.parametrize("table_of", [made, telling])
def test_a_promise_is_tried_from_dear_to_cheap_with_what_the_policy_would_do_row_by_row(table_of):
    taught, table = table_of(300), table_of(200, 7)
    policy = fit_frugal(taught, flat(taught), {Goal.BEST: 0.9})[Goal.BEST]
    right, cost = at_every_rung(policy, table, flat(table))
    means = [option.cost_usd for option in policy.ladder]
    assert means == sorted(means, reverse=True)
    for rung, option in enumerate(policy.ladder):
        accuracy, usd = played(table, replace(policy, option=option), flat(table))
        assert (right[:, rung].mean(), cost[:, rung].mean()) == pytest.approx((accuracy, usd))
