"""A row's own limits hold, also over calls in flight at the same time."""

from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import BillLine, Constraints, FailureCode, Usage
from partsong.plans.allowance import Allowance


def line(usd=0.0, tokens=0, outcome="answered"):
    return BillLine(step="s", model="m", cost_usd=usd, usage=Usage(completion_tokens=tokens), outcome=outcome)


def code(allowance, usd=0.0, tokens=0, now_s=0.0):
    refusal = allowance.refusal(usd, tokens, now_s)
    return None if refusal is None else refusal.code


def test_without_limits_nothing_is_refused():
    assert Allowance(Constraints()).refusal(1e9, 10**12, 1e9) is None


def test_calls_are_counted():
    allowance = Allowance(Constraints(max_calls=2))
    allowance.spend(line())
    assert code(allowance) is None
    allowance.spend(line())
    assert code(allowance) is FailureCode.ROW_BUDGET


def test_calls_in_flight_count_so_that_parallel_members_cannot_pass_together():
    allowance = Allowance(Constraints(max_calls=2))
    with allowance.reserved(0.0, 0):
        assert code(allowance) is None
        with allowance.reserved(0.0, 0):
            assert code(allowance) is FailureCode.ROW_BUDGET
    assert code(allowance) is None


def test_the_worst_case_of_the_next_call_must_fit():
    allowance = Allowance(Constraints(max_tokens=100, max_cost_usd=1.0))
    allowance.spend(line(usd=0.6, tokens=60))
    assert code(allowance, tokens=40, usd=0.4) is None
    assert code(allowance, tokens=41) is FailureCode.ROW_BUDGET
    assert code(allowance, usd=0.41) is FailureCode.ROW_BUDGET


def test_what_a_call_did_not_use_is_free_again():
    allowance = Allowance(Constraints(max_tokens=100))
    with allowance.reserved(0.0, 90):
        assert code(allowance, tokens=20) is FailureCode.ROW_BUDGET
    allowance.spend(line(tokens=10))
    assert code(allowance, tokens=90) is None


def test_three_dimes_fit_thirty_cents():
    allowance = Allowance(Constraints(max_cost_usd=0.3))
    for _ in range(2):
        allowance.spend(line(usd=0.1))
    assert code(allowance, usd=0.1) is None


def test_the_deadline_runs_from_when_the_row_began():
    allowance = Allowance(Constraints(deadline_s=10.0), began_s=100.0)
    assert code(allowance, now_s=109.9) is None
    assert code(allowance, now_s=110.0) is FailureCode.DEADLINE


def test_calls_that_the_journal_holds_count_and_those_of_the_cache_do_not():
    allowance = Allowance(Constraints(max_calls=1))
    allowance.spend(line(outcome="cache"))
    assert code(allowance) is None
    allowance.spend(line(outcome="journal"))
    assert code(allowance) is FailureCode.ROW_BUDGET


def test_a_refusal_says_which_limit_and_what_to_do():
    allowance = Allowance(Constraints(max_calls=1))
    allowance.spend(line())
    refusal = allowance.refusal(0.0, 0, 0.0)
    assert refusal.message == "the row may spend no more (max_calls 1: 1 made, 0 in flight); raise the limit or use a smaller plan"
    assert refusal.sent == "no"


CALLS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), max_size=40)


@given(CALLS, st.integers(1, 200), st.integers(1, 10))
def test_no_order_of_calls_passes_a_limit(calls, max_tokens, max_calls):
    allowance = Allowance(Constraints(max_tokens=max_tokens, max_calls=max_calls))
    in_flight, made, spent = [], 0, 0
    for worst, used, ends_at_once in calls:
        if allowance.refusal(0.0, worst, 0.0) is not None:
            continue
        held = allowance.reserved(0.0, worst)
        held.__enter__()
        made += 1
        in_flight.append((held, min(used, worst)))
        while in_flight and ends_at_once:
            held, tokens = in_flight.pop(0)
            held.__exit__(None, None, None)
            allowance.spend(line(tokens=tokens))
            spent += tokens
    assert made <= max_calls
    assert spent + sum(tokens for _, tokens in in_flight) <= max_tokens


def test_what_the_cache_answers_is_free_but_in_a_replay():
    allowance = Allowance(Constraints(max_cost_usd=1.0))
    cached = line(usd=0.6).model_copy(update={"outcome": "cache"})
    allowance.spend(cached)
    assert code(allowance, usd=1.0) is None
    allowance.spend(cached, replayed=True)
    assert code(allowance, usd=0.5) is FailureCode.ROW_BUDGET
