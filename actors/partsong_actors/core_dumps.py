"""Core dumps: off in a process that holds keys, for a dump is all of its memory."""

import sys

__all__ = ["no_core_dumps"]

_TOO_SMALL_BYTES = 1
"""Too little for any dump; and of all limits the one at which Linux does not pipe a dump to a program either (core(5))."""


def no_core_dumps() -> None:
    """Let this process, and those it starts, die without leaving their memory behind."""
    if sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    lowest = _TOO_SMALL_BYTES if most == resource.RLIM_INFINITY else min(_TOO_SMALL_BYTES, most)
    resource.setrlimit(resource.RLIMIT_CORE, (lowest, most))
