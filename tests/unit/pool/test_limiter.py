"""Limiter: amounts of every limit of a call are leased together, exactly, over all callers."""

import heapq
import random

import pytest

from partsong.contracts import FailureCode, Limits, ModelSpec, Terms
from partsong.pool.limiter import Ahead, Leased, Limiter, Purpose, Refused, Settlement, Standing
from partsong.pool.meter import NOTHING, Amounts

CALL = Amounts(1.0, 10.0, 20.0, 0.1)
MINE = Purpose("a", "mini", "run")
FREE = Terms()


def limiter(limits: Limits | None = None, accounts: dict[str, Limits] | None = None, **others: ModelSpec) -> Limiter:
    mini = ModelSpec(adapter="scripted", limits=limits or Limits(), account="acct" if accounts else None)
    return Limiter({"mini": mini, **others}, accounts or {})


def test_calls_that_fit_are_leased_at_once_and_the_others_wait_for_a_settlement():
    at = limiter(Limits(calls_in_flight=2))
    assert at.want(MINE, FREE, [CALL] * 3, 0, 0.0) == [Leased(MINE, 2)]
    assert at.waiting == 1
    assert at.settle(MINE, [Settlement(CALL, CALL)], 1.0) == [Leased(MINE, 1)]


def test_models_of_one_account_share_its_limits():
    maxi = ModelSpec(adapter="scripted", account="acct")
    at = limiter(accounts={"acct": Limits(calls_in_flight=1)}, maxi=maxi)
    other = Purpose("a", "maxi", "run")
    assert at.want(MINE, FREE, [CALL], 0, 0.0) == [Leased(MINE, 1)]
    assert at.want(other, FREE, [CALL], 0, 0.0) == []
    assert at.settle(MINE, [Settlement(CALL, CALL)], 1.0) == [Leased(other, 1)]


def test_a_budget_refuses_the_call_that_could_pass_it_when_nothing_in_flight_can_give_back():
    at, terms = limiter(), Terms(budget_usd=0.15)
    assert at.want(MINE, terms, [CALL, CALL], 0, 0.0) == [Leased(MINE, 1)]
    [refused] = at.settle(MINE, [Settlement(CALL, CALL)], 1.0)
    assert isinstance(refused, Refused)
    assert refused.failure.code is FailureCode.RUN_BUDGET
    assert "budget of $0.15" in refused.failure.message


def test_what_a_cheaper_call_gives_back_goes_to_the_next():
    at, terms = limiter(), Terms(budget_usd=0.15)
    at.want(MINE, terms, [CALL, CALL], 0, 0.0)
    assert at.settle(MINE, [Settlement(CALL, Amounts(usd=0.01))], 1.0) == [Leased(MINE, 1)]


def test_earlier_sessions_count_against_the_budget():
    at = limiter()
    [refused] = at.want(MINE, Terms(budget_usd=1.0, spent_usd={"mini": 0.95}), [CALL], 0, 0.0)
    assert isinstance(refused, Refused)


def test_a_larger_budget_takes_the_place_of_the_old_one():
    at = limiter()
    at.want(MINE, Terms(budget_usd=0.05), [CALL], 0, 0.0)
    assert at.want(MINE, Terms(budget_usd=0.5), [CALL], 0, 0.0) == [Leased(MINE, 1)]


def test_dollars_of_a_day_are_there_again_the_next_day():
    at = limiter(Limits(usd_per_day=0.1))
    assert at.want(MINE, Terms(today_usd={"mini": 0.05}), [CALL], 0, 0.0)[0].failure.code is FailureCode.RUN_BUDGET  # type: ignore[union-attr]
    at.new_day(1.0)
    assert at.want(MINE, FREE, [CALL], 0, 1.0) == [Leased(MINE, 1)]


def test_a_call_that_could_take_more_than_a_minutes_tokens_goes_alone():
    at, small = limiter(Limits(tokens_per_minute=25)), Amounts(1.0, 1.0, 1.0)
    assert at.want(MINE, FREE, [small, CALL, small], 0, 0.0)[0] == Leased(MINE, 1)
    assert at.due(100.0) == []
    assert at.settle(MINE, [Settlement(small, small)], 101.0) == []
    assert at.next_s(101.0) == pytest.approx(161.0, abs=0.1)
    assert at.due(161.1) == [Leased(MINE, 1)]
    assert at.due(170.0) == []
    assert at.settle(MINE, [Settlement(CALL, small)], 171.0) == [Leased(MINE, 1)]


def test_what_was_used_beyond_a_minutes_tokens_counts_for_a_minute_and_no_longer():
    at = limiter(Limits(tokens_per_minute=25))
    assert at.want(MINE, FREE, [CALL, CALL], 0, 0.0) == [Leased(MINE, 1)]
    assert at.settle(MINE, [Settlement(CALL, CALL)], 10.0) == []
    assert at.due(69.0) == []
    assert at.next_s(69.0) == pytest.approx(72.0, abs=0.1)
    assert at.due(72.1) == [Leased(MINE, 1)]


def test_a_call_that_goes_alone_is_released_when_its_caller_joins_again_or_is_followed_by_another():
    at = limiter(Limits(tokens_per_minute=25))
    at.join("a", "first", [], 0.0)
    at.want(MINE, FREE, [CALL], 0, 0.0)
    at.join("a", "first", [Standing("mini", "run", FREE, CALL, NOTHING, [])], 1.0)
    assert at.settle(MINE, [Settlement(CALL, NOTHING)], 2.0) == []
    assert at.want(MINE, FREE, [CALL], 0, 70.0) == [Leased(MINE, 1)]
    at.join("a", "second", [], 71.0)
    assert at.want(MINE, FREE, [CALL], 0, 200.0) == [Leased(MINE, 1)]


def test_a_call_that_could_cost_more_than_a_budget_is_refused_while_others_are_in_flight():
    at, terms = limiter(), Terms(budget_usd=0.15)
    at.want(MINE, terms, [CALL], 0, 0.0)
    [refused] = at.want(MINE, terms, [Amounts(1.0, usd=0.2)], 0, 0.0)
    assert isinstance(refused, Refused)
    assert refused.failure.code is FailureCode.RUN_BUDGET


def test_a_large_call_that_waits_is_not_starved_by_small_ones():
    at = limiter(Limits(calls_in_flight=100, output_tokens_per_minute=1000))
    small, large = Amounts(1.0, 0.0, 10.0), Amounts(1.0, 0.0, 900.0)
    one, two = Purpose("a", "mini", "small"), Purpose("a", "mini", "large")
    at.want(one, FREE, [small] * 3, 0, 0.0)
    assert at.want(two, FREE, [large], 0, 0.1) == []
    assert at.want(one, FREE, [small], 0, 0.2) == []
    assert at.due(10.0) == [Leased(two, 1)]


def test_two_runs_that_wait_take_turns():
    at = limiter(Limits(calls_in_flight=1))
    one, two = Purpose("a", "mini", "one"), Purpose("a", "mini", "two")
    at.want(one, FREE, [CALL] * 5, 0, 0.0)
    at.want(two, FREE, [CALL] * 5, 0, 0.0)
    order = []
    held = one
    for _ in range(6):
        [leased] = at.settle(held, [Settlement(CALL, CALL)], 0.0)
        held = leased.purpose
        order.append(held.run)
    assert order.count("one") == order.count("two")


def test_calls_are_leased_ahead_only_where_there_is_plenty():
    at = limiter()
    assert at.want(MINE, Terms(budget_usd=1000.0), [CALL], 4, 0.0) == [Leased(MINE, 1), Ahead(MINE, CALL, 4)]
    assert at.want(MINE, Terms(budget_usd=1000.0), [CALL], 20_000, 0.0) == [Leased(MINE, 1)]
    paced = limiter(Limits(requests_per_minute=10_000))
    assert paced.want(MINE, FREE, [CALL], 4, 0.0) == [Leased(MINE, 1)]


def test_a_successor_of_the_same_name_does_not_get_what_its_predecessor_held():
    at, terms = limiter(), Terms(budget_usd=0.15)
    at.join("a", "first", [], 0.0)
    at.want(MINE, terms, [CALL], 0, 0.0)
    at.join("a", "second", [], 0.0)
    assert isinstance(at.want(MINE, terms, [CALL], 0, 0.0)[0], Refused)


def test_what_a_known_caller_used_and_could_not_tell_is_counted_when_it_joins_again():
    at, terms = limiter(), Terms(budget_usd=0.15)
    at.join("a", "first", [], 0.0)
    at.want(MINE, terms, [CALL], 0, 0.0)
    at.join("a", "first", [Standing("mini", "run", terms, NOTHING, Amounts(usd=0.01), [])], 0.0)
    assert at.want(MINE, terms, [CALL], 0, 0.0) == [Leased(MINE, 1)]
    at.settle(MINE, [Settlement(CALL, CALL)], 0.0)
    assert isinstance(at.want(MINE, terms, [CALL], 0, 0.0)[0], Refused)


def test_new_pools_hear_from_their_callers_what_was_used():
    at, terms = limiter(Limits(requests_per_minute=2)), Terms(budget_usd=10.0)
    used = Amounts(2.0, 0.0, 0.0, 9.95)
    at.join("a", "first", [Standing("mini", "run", terms, NOTHING, used, [(50.0, Amounts(1.0)), (10.0, Amounts(1.0))])], 100.0)
    cheap = Amounts(1.0, usd=0.01)
    assert at.want(MINE, terms, [cheap], 0, 100.0) == []
    assert at.next_s(100.0) == pytest.approx(110.8, abs=0.1)
    assert at.due(110.9) == [Leased(MINE, 1)]


@pytest.mark.parametrize("seed", range(6))
def test_over_any_sixty_seconds_a_limit_is_kept_and_used(seed):
    """Several callers, replies that take a while, tokens that are fewer than feared: what a provider would see."""
    dice = random.Random(seed)
    limits = Limits(requests_per_minute=600, tokens_per_minute=dice.choice([12_000, 40_000]))
    at, worst = limiter(limits), Amounts(1.0, 30.0, 100.0)
    callers = [Purpose(name, "mini", "run") for name in "abc"]
    ends: list[tuple[float, int, Purpose, Amounts, float]] = []
    seen: list[tuple[float, float, float]] = []
    now_s, number, waiting = 0.0, 0, dict.fromkeys(callers, 0)
    while now_s < 200.0:
        found = []
        while ends and ends[0][0] <= now_s:
            _, _, purpose, used, began_s = heapq.heappop(ends)
            seen.append((began_s + 0.05, 1.0, used.prompt_tokens + used.completion_tokens))
            found += at.settle(purpose, [Settlement(worst, used, now_s - began_s)], now_s)
        for purpose in callers:
            found += at.want(purpose, FREE, [worst] * (40 - waiting[purpose]), 0, now_s) if waiting[purpose] < 40 else []
            waiting[purpose] = 40
        for leased in [*found, *at.due(now_s)]:
            assert isinstance(leased, Leased)
            waiting[leased.purpose] -= leased.count
            for _ in range(leased.count):
                number += 1
                used = Amounts(1.0, 30.0, float(dice.randint(1, 60)))
                heapq.heappush(ends, (now_s + dice.uniform(0.2, 1.5), number, leased.purpose, used, now_s))
        now_s = max(now_s + 0.01, min([at.next_s(now_s), *(end[0] for end in ends[:1])]))
    seen.sort()
    for what, limit in ((1, limits.requests_per_minute), (2, limits.tokens_per_minute)):
        sums = [sum(one[what] for one in seen if begins <= one[0] < begins + 60.0) for begins in range(10, 130, 3)]
        assert max(sums) <= limit
    busiest = [
        max(
            sum(one[1] for one in seen if begins <= one[0] < begins + 60.0) / 600,
            sum(one[2] for one in seen if begins <= one[0] < begins + 60.0) / limits.tokens_per_minute,
        )
        for begins in range(10, 130, 3)
    ]
    assert min(busiest) >= 0.95


def test_a_run_is_forgotten_when_no_caller_makes_calls_for_it_any_more():
    at, terms, theirs = limiter(Limits(calls_in_flight=9)), Terms(budget_usd=0.25), Purpose("b", "mini", "run")
    for purpose in (MINE, theirs):
        at.want(purpose, terms, [CALL], 0, 0.0)
        at.settle(purpose, [Settlement(CALL, CALL)], 1.0)
    at.forget(MINE, 2.0)
    assert isinstance(at.want(theirs, terms, [CALL], 0, 3.0)[0], Refused)
    at.forget(theirs, 4.0)
    assert at.want(MINE, terms, [CALL], 0, 5.0) == [Leased(MINE, 1)]


def test_what_a_run_that_is_forgotten_still_held_is_free_again():
    at = limiter(Limits(calls_in_flight=1))
    at.want(MINE, FREE, [CALL], 0, 0.0)
    other = Purpose("a", "mini", "another run")
    assert at.want(other, FREE, [CALL], 0, 0.0) == []
    assert at.forget(MINE, 1.0) == [Leased(other, 1)]


def test_what_was_spent_today_counts_once_though_all_runs_are_forgotten_meanwhile():
    at, terms = limiter(Limits(usd_per_day=1.0)), Terms(today_usd={"mini": 0.4})
    for n in range(5):
        purpose = Purpose("a", "mini", f"run {n}")
        assert at.want(purpose, terms, [CALL], 0, 0.0) == [Leased(purpose, 1)]
        at.settle(purpose, [Settlement(CALL, CALL)], 0.0)
        at.forget(purpose, 0.0)


def test_what_a_caller_forgot_before_it_could_tell_counts_as_used():
    at = limiter(Limits(requests_per_minute=1))
    at.join("a", "process", [], 0.0)
    at.want(MINE, FREE, [CALL], 0, 0.0)
    at.join("a", "process", [], 1.0)
    assert at.want(Purpose("b", "mini", "other"), FREE, [CALL], 0, 2.0) == []


def minis(limits: Limits) -> dict[str, ModelSpec]:
    return {"mini": ModelSpec(adapter="openai", limits=limits)}


def test_a_larger_limit_lets_go_at_once_what_waits_and_forgets_nothing():
    at = limiter(Limits(calls_in_flight=1))
    assert at.want(MINE, FREE, [CALL, CALL, CALL], 0, 0.0) == [Leased(MINE, 1)]
    assert at.change(minis(Limits(calls_in_flight=2)), {}, 0.0) == [Leased(MINE, 1)]
    assert at.settle(MINE, [Settlement(CALL, CALL)], 1.0) == [Leased(MINE, 1)]


def test_what_was_used_in_the_last_minute_counts_under_a_changed_limit():
    at = limiter(Limits(requests_per_minute=2))
    at.want(MINE, FREE, [CALL], 0, 0.0)
    at.settle(MINE, [Settlement(CALL, CALL)], 0.0)
    at.change(minis(Limits(requests_per_minute=1)), {}, 1.0)
    assert at.want(MINE, FREE, [CALL], 0, 40.0) == []
    assert at.due(62.0) == [Leased(MINE, 1)]


def test_a_limit_that_is_taken_away_holds_no_more():
    at = limiter(Limits(calls_in_flight=1, usd_per_run=0.1))
    at.want(MINE, FREE, [CALL, CALL], 0, 0.0)
    assert at.change(minis(Limits()), {}, 0.0) == [Leased(MINE, 1)]


def test_what_a_run_has_spent_counts_under_its_changed_limit():
    at = limiter(Limits(usd_per_run=0.5))
    at.want(MINE, FREE, [CALL], 0, 0.0)
    at.settle(MINE, [Settlement(CALL, CALL)], 0.0)
    at.change(minis(Limits(usd_per_run=0.15)), {}, 0.0)
    assert isinstance(at.want(MINE, FREE, [CALL], 0, 0.0)[0], Refused)


def test_an_account_changes_its_limit_for_all_of_its_models():
    shared = {name: ModelSpec(adapter="openai", account="acme") for name in ("mini", "big")}
    at, big = Limiter(shared, {"acme": Limits(calls_in_flight=1)}), Purpose("a", "big", "run")
    at.want(MINE, FREE, [CALL], 0, 0.0)
    assert at.want(big, FREE, [CALL], 0, 0.0) == []
    assert at.change(shared, {"acme": Limits(calls_in_flight=2)}, 0.0) == [Leased(big, 1)]


def test_what_a_model_that_is_taken_out_waited_for_is_forgotten():
    at = limiter(Limits(calls_in_flight=1), other=ModelSpec(adapter="openai"))
    at.want(MINE, FREE, [CALL, CALL], 0, 0.0)
    assert at.change({"other": ModelSpec(adapter="openai")}, {}, 0.0) == []
    assert at.settle(MINE, [Settlement(CALL, CALL)], 1.0) == []
    assert at.waiting == 0


def test_callers_that_were_not_heard_of_are_presumed_to_have_used_all():
    at = limiter(Limits(requests_per_minute=60, calls_in_flight=2))
    [(meter, held)] = at.presume(0.0)
    assert held == 2.0
    assert at.want(MINE, FREE, [CALL], 0, 30.0) == []
    meter.release(held)
    assert at.due(59.0) == []
    assert at.due(62.0) == [Leased(MINE, 1)]


def test_what_a_caller_that_has_ended_held_counts_as_used_and_what_it_waited_for_is_forgotten():
    at, theirs = limiter(Limits(calls_in_flight=1, requests_per_minute=60)), Purpose("b", "mini", "run")
    at.want(MINE, FREE, [CALL, CALL], 0, 0.0)
    assert at.want(theirs, FREE, [CALL], 0, 2.0) == []
    assert at.leave("a", 4.0) == [Leased(theirs, 1)]
    assert at.waiting == 0
