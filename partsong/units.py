"""Units people write: durations (`250ms`, `60s`, `2m`) and sizes (`512kB`, `1MiB`)."""

import re
from typing import Any

__all__ = ["duration_s", "size_bytes"]

_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def duration_s(value: Any) -> Any:
    """Return seconds for `"60s"`; numbers and what is no quantity pass through for the schema to judge."""
    return _scaled(value, _SECONDS, "a duration like 250ms, 60s, 2m or 1h")


def size_bytes(value: Any) -> Any:
    """Return bytes for `"512kB"`; numbers and what is no quantity pass through for the schema to judge."""
    return _scaled(value, _BYTES, "a size like 512kB, 100MB or 1GiB")


def _scaled(value: Any, units: dict[str, Any], wanted: str) -> Any:
    if not isinstance(value, str):
        return value
    match = _QUANTITY.fullmatch(value)
    if match is None or match[2] not in units:
        raise ValueError(f"{value!r} is not {wanted}")
    return float(match[1]) * units[match[2]]
