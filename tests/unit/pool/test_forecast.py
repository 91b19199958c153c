"""Forecast: what a call may take at most, learned from what calls took."""

from hypothesis import given
from hypothesis import strategies as st

from partsong.contracts import Price, Sampling, Task, Usage
from partsong.pool.forecast import ASSUMED_COMPLETION_TOKENS, Forecast, assumed_usage

GREETING = Task.of("Hi")


def prompt(tokens: int) -> Task:
    """Return a task of so many assumed tokens."""
    return Task.of("abc " * (tokens - 1))


def took(prompt_tokens: int, completion_tokens: int = 1) -> Usage:
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)


def test_at_first_a_token_is_four_characters():
    assert Forecast(None).worst(prompt(1000)) == assumed_usage(prompt(1000))
    assert assumed_usage(prompt(1000)).prompt_tokens == 1000


def test_a_chat_template_around_a_greeting_is_added_to_a_long_prompt_and_does_not_multiply_it():
    forecast = Forecast(None)
    forecast.saw(GREETING, took(26))
    assert forecast.worst(GREETING).prompt_tokens == 26
    assert forecast.worst(prompt(10_000)).prompt_tokens == 10_025


def test_a_long_prompt_of_more_tokens_than_thought_tells_of_all_prompts():
    forecast = Forecast(None)
    forecast.saw(prompt(1000), took(2000))
    assert forecast.worst(prompt(10_000)).prompt_tokens in (20_000, 20_001)


def test_what_is_added_to_every_prompt_is_not_counted_as_a_ratio_too():
    forecast = Forecast(None)
    forecast.saw(GREETING, took(1001))
    forecast.saw(prompt(500), took(1500))
    assert forecast.worst(prompt(10_000)).prompt_tokens == 11_000


def test_counts_of_our_own_teach_nothing():
    forecast = Forecast(None)
    forecast.saw(GREETING, Usage(prompt_tokens=500, completion_tokens=5000, estimated=True))
    assert forecast.worst(GREETING) == assumed_usage(GREETING)


def test_a_reply_is_as_long_as_max_tokens_or_the_longest_that_was_free_of_it():
    forecast, short = Forecast(None), GREETING.model_copy(update={"sampling": Sampling(max_tokens=7)})
    assert forecast.worst(GREETING).completion_tokens == ASSUMED_COMPLETION_TOKENS
    forecast.saw(GREETING, took(1, 3000))
    assert forecast.worst(GREETING).completion_tokens == 3000
    assert forecast.worst(short).completion_tokens == 7


def test_amounts_are_one_request_its_tokens_and_its_price():
    forecast = Forecast(Price(input=1.0, output=2.0))
    amounts = forecast.amounts(took(1_000_000, 500_000))
    assert (amounts.requests, amounts.prompt_tokens, amounts.completion_tokens, amounts.usd) == (1.0, 1_000_000, 500_000, 2.0)


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(0, 10_000)), max_size=20))
def test_what_has_been_seen_is_never_forecast_lower(seen):
    forecast = Forecast(None)
    for tokens, prompt_tokens in seen:
        forecast.saw(prompt(tokens), took(prompt_tokens))
    for tokens, prompt_tokens in seen:
        assert forecast.worst(prompt(tokens)).prompt_tokens >= max(tokens, prompt_tokens)
