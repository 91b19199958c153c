"""Built: what a worker is made from; one made from another entry of the mesh file is replaced."""

import hashlib
import json

from partsong.contracts import ModelSpec

__all__ = ["NOT_THE_WORKER", "built_from"]

NOT_THE_WORKER = frozenset(
    {
        "workers",
        "scale",
        "limits",
        "account",
        "price",
        "fallbacks",
        "breaker",
        "hedge",
        "retries",
        "retry_share",
        "adaptive",
        "stream_failure",
        "skills",
        "accepts",
    }
)
"""Fields that callers, pools and plans heed; a worker at work need not know that they have changed."""


def built_from(spec: ModelSpec) -> str:
    """Return a digest of all that the worker's process depends on."""
    shown = spec.model_dump(mode="json", by_alias=True, exclude=set(NOT_THE_WORKER))
    return hashlib.blake2b(json.dumps(shown, sort_keys=True).encode(), digest_size=8).hexdigest()
