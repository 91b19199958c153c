"""Retry-after: how long a provider asks to wait, by its headers or its error body."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["retry_after_s"]

_LONGEST_S = 86_400.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_SPAN_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LIMITS = (("x-ratelimit-remaining-{}", "x-ratelimit-reset-{}"), ("anthropic-ratelimit-{}-remaining", "anthropic-ratelimit-{}-reset"))
_LIMITED = ("requests", "tokens", "input-tokens", "output-tokens")


def retry_after_s(headers: Mapping[str, str], error: Any, unix_s: float) -> float | None:
    """Return seconds from now (`unix_s`), at most a day; None when the provider asks for nothing that can be read.

    Asked in turn: `retry-after-ms`, `retry-after` (seconds or a date), Google's RetryInfo in the error body, the reset time of whichever
    rate limit has nothing remaining.
    """
    asked = (
        _seconds(headers.get("retry-after-ms"), 0.001),
        _seconds(headers.get("retry-after")),
        _until(headers.get("retry-after"), unix_s),
        _retry_info(error),
        _reset(headers, unix_s),
    )
    wait_s = next((wait_s for wait_s in asked if wait_s is not None), None)
    return None if wait_s is None else min(max(wait_s, 0.0), _LONGEST_S)


def _seconds(text: str | None, unit_s: float = 1.0) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number * unit_s if math.isfinite(number) and number >= 0 else None


def _until(text: str | None, unix_s: float) -> float | None:
    try:
        when = parsedate_to_datetime(text or "")
    except (ValueError, OverflowError):  # a day or a zone of a hundred digits
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - unix_s


def _retry_info(error: Any) -> float | None:
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(delay := detail.get("retryDelay"), str):
            return _span(delay)
    return None


def _reset(headers: Mapping[str, str], unix_s: float) -> float | None:
    waits = [
        _span(headers.get(reset.format(limited))) or _moment(headers.get(reset.format(limited)), unix_s)
        for remaining, reset in _LIMITS
        for limited in _LIMITED
        if headers.get(remaining.format(limited)) == "0"
    ]
    return max((wait_s for wait_s in waits if wait_s is not None), default=None)


def _span(text: str | None) -> float | None:
    """Return seconds for `6m0s`, `20ms`, `1.5s`."""
    pieces = _SPAN.findall(text or "")
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        return None
    return sum(float(number) * _SPAN_S[unit] for number, unit in pieces)


def _moment(text: str | None, unix_s: float) -> float | None:
    try:
        when = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - unix_s
