"""Figures are of what is known: rows that nobody labelled change nothing, and a price that is not known is no price."""

from dataclasses import replace

import numpy as np
import pytest
from unit.learning.made import made
from unit.learning.test_thresholds import climbed

from partsong.learning.judged import promise_of
from partsong.learning.learned import fit_learned
from partsong.learning.outcomes import Outcomes
from partsong.learning.settings import Settings

DAY = "2026-11-30"


def unlabelled(table: Outcomes) -> Outcomes:
    return replace(table, right=np.full(table.right.shape, np.nan))


def together(one: Outcomes, other: Outcomes) -> Outcomes:
    return Outcomes(
        one.models,
        one.prompts + other.prompts,
        np.vstack([one.right, other.right]),
        one.answers + other.answers,
        np.vstack([one.cost_usd, other.cost_usd]),
        one.kinds + other.kinds,
    )


def test_rows_that_nobody_labelled_change_no_figure():
    table = made(120)
    alone = fit_learned(table, Settings(), date=DAY)
    beside = fit_learned(together(table, unlabelled(made(120, seed=5))), Settings(), date=DAY)
    assert alone.figures
    assert repr(beside.figures) == repr(alone.figures)
    assert (beside.rows, beside.fingerprint, beside.kept) == (120, alone.fingerprint, alone.kept)
    assert [policy.option for policy in beside.policies.frugal.values()] == [policy.option for policy in alone.policies.frugal.values()]


def test_figures_and_promise_are_of_each_question_once_since_its_copies_are_no_new_evidence():
    table = made(120)
    alone, copied = (fit_learned(one, Settings(), date=DAY) for one in (table, together(table, together(table, table))))
    assert alone.kept is not None
    assert copied.kept is not None
    assert copied.kept.rows == alone.kept.rows
    assert [one.n for one in copied.figures] == [one.n for one in alone.figures]


def test_a_row_of_which_it_is_not_known_who_was_right_counts_as_lost():
    losses = np.zeros((400, 1))
    assert promise_of(losses, 0.02).kept
    losses[:20] = np.nan
    assert not promise_of(losses, 0.02).kept


def test_what_chose_its_own_levels_is_not_advised():
    climb, outcomes = climbed(3000, seed=1)
    answers = tuple(("yes", "yes") for _ in range(3000))
    learned = fit_learned(replace(outcomes, answers=answers), Settings(value_of_correct_usd=1.0), date=DAY, climbs=[climb])
    assert "cascade@climb" in [figure.policy for figure in learned.figures]
    assert not learned.advice.startswith("cascade")


def test_rows_that_only_a_new_model_is_known_on_count_for_no_other():
    table = made(120)
    probes = unlabelled(made(12, seed=5))
    probes.right[:, 0] = 1.0
    learned = fit_learned(together(replace(table, right=np.where(np.arange(4) == 0, np.nan, table.right)), probes), Settings(), date=DAY)
    rows = fit_learned(table.columns((1, 2, 3)), Settings(), date=DAY)
    assert [(new.model, new.probes) for new in learned.newcomers] == [("m0", 12)]
    assert repr(learned.figures) == repr(rows.figures)


def test_a_policy_has_no_price_where_that_of_one_call_is_not_known():
    table = made(120)
    cost = table.cost_usd.copy()
    cost[::2, 1] = np.nan
    figures = {f.policy: f for f in fit_learned(replace(table, cost_usd=cost), Settings(), date=DAY).figures}
    assert np.isnan(figures["vote"].usd_per_1000)
    assert figures["best"].usd_per_1000 == pytest.approx(1.0)


def test_with_one_price_alone_no_ensemble_is_learned_and_that_is_said():
    table = made(60)
    cost = np.where(np.arange(4) == 0, table.cost_usd, np.nan)
    learned = fit_learned(replace(table, cost_usd=cost), Settings(), date=DAY)
    assert learned.policies.frugal == {}
    assert any("m0 is the only model whose price is known" in warning for warning in learned.warnings)


def test_the_gate_is_judged_at_what_a_right_answer_is_worth():
    miser, lavish, usual = (fit_learned(made(120), Settings(value_of_correct_usd=value), date=DAY) for value in (1e-9, 1000.0, None))
    figure = {name: next(f for f in one.figures if f.policy == "gate") for name, one in (("miser", miser), ("lavish", lavish))}
    assert figure["miser"].usd_per_1000 == pytest.approx(0.02)
    assert figure["lavish"].usd_per_1000 > 0.9
    assert (lavish.gate_value_usd, usual.gate_value_usd) == (1000.0, pytest.approx(20 * 0.001))
