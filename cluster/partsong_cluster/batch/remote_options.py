"""Remote options: how fsspec speaks to a place so that one try is short: whoever reads and writes tries again itself, and says so."""

from typing import Any

__all__ = ["remote_options"]

_CONNECTS_WITHIN_S = 10
_ANSWERS_WITHIN_S = 60
_BLOCK_BYTES = 8 * 2**20
"""Read ahead of what is needed: s3fs's own 50 MiB is more than a run needs in all."""


def remote_options(url: str) -> dict[str, Any]:
    """Return the options for this URL; credentials and endpoints are the environment's, as the library behind reads them."""
    if url.partition("://")[0] not in ("s3", "s3a"):
        return {}
    retries = {"total_max_attempts": 1, "mode": "standard"}
    config = {"connect_timeout": _CONNECTS_WITHIN_S, "read_timeout": _ANSWERS_WITHIN_S, "retries": retries}
    return {"config_kwargs": config, "default_block_size": _BLOCK_BYTES}
