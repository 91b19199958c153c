"""Guardrails: what surely breaks one, what does not, and how that is said."""

from random import Random

import pytest
from pydantic import ValidationError

from partsong.evaluation.guardrails import Guardrails, Watch
from partsong.evaluation.trial import Trial

ALL = Guardrails(accuracy_drop=0.0, failure_rise=0.0, cost_ratio=1.0, p95_latency_ratio=1.0)


def trials(seed: int, rows: int, *, right: float = 0.8, fails: float = 0.05, cost: float = 1.0, latency: float = 1.0):
    """Rows of equal arms, but for what is said of the challenger."""
    dice = Random(seed)
    for row in range(rows):
        new = dice.random() < 0.5
        failed = dice.random() < (fails if new else 0.05)
        is_right = not failed and dice.random() < (right if new else 0.8)
        usd = dice.expovariate(1000.0) * (cost if new else 1.0)
        latency_s = 0.0 if failed else dice.lognormvariate(0.0, 0.5) * (latency if new else 1.0)
        yield Trial("challenger" if new else "champion", 0.5, is_right, failed, usd, latency_s, key=f"user {row}")


def watched(limits: Guardrails, rows) -> Watch:
    watch = Watch(limits)
    for trial in rows:
        watch.saw(trial)
    return watch


def test_equal_arms_raise_a_false_alarm_in_at_most_one_run_of_twenty_though_every_limit_is_just_met():
    alarms = sum(watched(ALL, trials(seed, 300)).broken is not None for seed in range(100))
    assert alarms <= 5


@pytest.mark.parametrize("name", ["cost_ratio", "p95_latency_ratio"])
@pytest.mark.parametrize("sigma", [2.0, 3.0])
@pytest.mark.parametrize(("share", "limit"), [(0.5, 1.0), (0.2, 2.0)])
def test_costs_and_latencies_of_heavy_tails_that_just_meet_the_limit_raise_no_more_false_alarms_either(name, sigma, share, limit):
    limits, dice = Guardrails(accuracy_drop=None, failure_rise=None).model_copy(update={name: limit}), Random(7)

    def rows():
        for _ in range(250):
            new = dice.random() < share
            value = dice.lognormvariate(0.0, sigma) * (limit if new else 1.0)
            yield Trial("challenger" if new else "champion", share, None, dice.random() < 0.1, value, value)

    assert sum(watched(limits, rows()).broken is not None for _ in range(60)) <= 3


def test_a_row_that_both_answered_counts_once_and_equal_answers_break_nothing():
    watch, dice = Watch(Guardrails(cost_ratio=1.0, p95_latency_ratio=1.0)), Random(3)
    for _ in range(200):
        value = dice.lognormvariate(0.0, 3.0)
        watch.saw_both(Trial("champion", 1.0, None, False, value, value), Trial("challenger", 1.0, None, False, value, value))
    assert [(guard.state, guard.e_value) for guard in watch.guards[2:]] == [("within", 1.0)] * 2


def test_of_rows_with_one_key_that_both_answered_the_first_counts():
    watch = Watch(Guardrails())
    for key in ("a", "b", "a", "a"):
        watch.saw_both(Trial("champion", 1.0, True, False, 1.0, 1.0, key=key), Trial("challenger", 1.0, False, False, 1.0, 1.0, key=key))
    assert watch.accuracy.rows == 2


def test_a_much_dearer_and_slower_shadow_surely_breaks_its_guardrails():
    watch, dice = Watch(Guardrails(cost_ratio=1.0, p95_latency_ratio=1.0)), Random(3)
    for _ in range(300):
        value = dice.lognormvariate(0.0, 1.0)
        watch.saw_both(Trial("champion", 1.0, None, False, value, value), Trial("challenger", 1.0, None, False, 5 * value, 5 * value))
    assert [guard.state for guard in watch.guards[2:]] == ["broken", "broken"]


def test_the_champions_failures_do_not_make_the_challenger_slow():
    watch, dice = Watch(Guardrails(accuracy_drop=None, p95_latency_ratio=1.0)), Random(5)
    for _ in range(600):
        new = dice.random() < 0.5
        watch.saw(Trial("challenger" if new else "champion", 0.5, None, not new and dice.random() < 0.7, 0.0, dice.random()))
    assert watch.broken is None


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"right": 0.3}, "accuracy_drop"),
        ({"fails": 0.6}, "failure_rise"),
        ({"cost": 4.0}, "cost_ratio"),
        ({"latency": 6.0}, "p95_latency_ratio"),
    ],
)
def test_a_challenger_that_is_much_worse_surely_breaks_the_guardrail(worse, name):
    alone = Guardrails(accuracy_drop=None, failure_rise=None).model_copy(update={name: getattr(ALL, name)})
    broken = watched(alone, trials(1, 600, **worse)).broken
    assert broken is not None
    assert (broken.name, broken.state) == (name, "broken")


def test_beyond_a_limit_by_chance_is_not_broken():
    watch = watched(Guardrails(accuracy_drop=0.0, failure_rise=None), trials(4, 40, right=0.7))
    assert [guard.state for guard in watch.guards] == ["beyond"]
    assert watch.broken is None


def test_what_cannot_be_measured_is_said_to_be_so():
    watch = watched(ALL, [Trial(arm, 0.5, None, True, 0.0, 0.0) for arm in ("champion", "challenger")])
    assert [guard.state for guard in watch.guards] == ["unmeasured", "within", "within", "unmeasured"]
    assert str(watch.guards[0]) == "accuracy: cannot be measured, no row is graded (`expected` in its metadata)"
    assert str(watch.guards[3]) == "95th percentile of latency: cannot be measured, too few rows are answered"


@pytest.mark.parametrize(
    ("share", "why"), [(0.5, "the challenger has no row that counts"), (0.0, "chance chose between the arms on no row")]
)
def test_an_arm_without_rows_is_why_nothing_can_be_measured_though_all_rows_are_graded(share, why):
    watch = watched(ALL, [Trial("champion", share, True, False, 0.1, 1.0) for _ in range(30)])
    assert {(guard.state, guard.value, guard.lacks) for guard in watch.guards} == {("unmeasured", None, why)}
    assert str(watch.guards[0]) == f"accuracy: cannot be measured, {why}"


def test_free_arms_cost_the_same_and_a_priced_one_infinitely_more():
    free = watched(Guardrails(cost_ratio=2.0), [Trial(arm, 0.5, None, False, 0.0, 1.0) for arm in ("champion", "challenger")])
    assert free.guards[-1].value == 1.0
    free.saw(Trial("challenger", 0.5, None, False, 0.1, 1.0))
    assert free.guards[-1].state == "beyond"


def test_rows_that_chance_had_no_part_in_count_nowhere():
    watch = Watch(ALL)
    assert not watch.saw(Trial("challenger", 1.0, True, False, 0.1, 1.0))
    assert watch.accuracy.rows == 0


def test_of_rows_with_one_key_the_first_counts():
    watch = Watch(ALL)
    counted = [watch.saw(Trial("champion", 0.5, True, False, 0.1, 1.0, key=key)) for key in ("ann", "bob", "ann", "", "")]
    assert counted == [True, True, False, True, True]


def test_a_guard_says_figure_limit_and_state():
    guard = watched(Guardrails(accuracy_drop=0.02), trials(2, 200, right=0.1)).guards[0]
    assert str(guard).startswith("accuracy -")
    assert str(guard).endswith(" points, the limit is -2.0 points (surely beyond)")


@pytest.mark.parametrize("wrong", [{"accuracy_drop": 1.5}, {"cost_ratio": 0}, {"p95_latency_ratio": -1}, {"latency": 2}])
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        Guardrails.model_validate(wrong)
