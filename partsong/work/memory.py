"""Memory: what a long-lived process has loaded at its start is never garbage; the collector need not walk it again for every batch."""

import gc

__all__ = ["settle"]

_YOUNG = 10_000
"""Net allocations between collections of young objects: Python's 700 means several a batch, each a walk over all that is in flight."""


def settle() -> None:
    """Call once, when modules and models are loaded: a quarter of a busy worker's time went into walking them (measured with py-spy)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)
