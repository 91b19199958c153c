"""How long a provider asks to wait: every way it can say so, and nothing absurd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partsong.adapters.retry_after import retry_after_s

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "99999999999"}, 86_400.0),
        ({"retry-after": "Sun, 06 Nov 2094 08:49:37 GMT"}, 86_400.0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms", "x-ratelimit-remaining-requests": "7"}, 0.02),
        ({"anthropic-ratelimit-input-tokens-remaining": "0", "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:05Z"}, 5.0),
        ({"retry-after": "1", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 1.0),
    ],
)
def test_headers_say_how_long_to_wait(headers, wait_s):
    assert (
        retry_after_s(headers, None, NOW_S) == pytest.approx(wait_s) if wait_s is not None else retry_after_s(headers, None, NOW_S) is None
    )


def test_googles_retry_info_stands_in_the_body():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    assert retry_after_s({}, {"details": [{"@type": "other"}, info]}, NOW_S) == 34.5


@pytest.mark.parametrize(
    "value",
    ["", "soon", "nan", "inf", "-inf", "-3", "1e400", "0x10", "Mon, 99 Foo 2027", "1" * 10_000, f"{'1' * 30} Oct 2027 07:28:00 GMT"],
)
def test_nonsense_is_no_time_to_wait(value):
    wait_s = retry_after_s({"retry-after": value}, None, NOW_S)
    assert wait_s is None or 0 <= wait_s <= 86_400


NAMES = ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "anthropic-ratelimit-requests-reset"]
ZERO = {"x-ratelimit-remaining-requests": "0", "anthropic-ratelimit-requests-remaining": "0"}


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=30)),
    st.recursive(st.none() | st.text(max_size=5), lambda x: st.lists(x) | st.dictionaries(st.sampled_from(["details", "retryDelay"]), x)),
)
def test_whatever_is_said_the_wait_is_between_nothing_and_a_day(headers, error):
    wait_s = retry_after_s(headers | ZERO, error, NOW_S)
    assert wait_s is None or 0 <= wait_s <= 86_400
