"""Memory watch: a process that gets no memory any more ends itself: half alive it would answer nobody, and its successor answers all."""

import mmap
import os
import threading
import time

__all__ = ["end_if_without_memory", "end_without_memory"]

_EVERY_S = 0.3
_PROBE_BYTES = 2**20
_REFUSED_IN_A_ROW = 3
"""One refusal may be somebody's attempt at something too large, which is over when it has failed."""


def end_without_memory(exit_code: int = 1, last_words: str = "out of memory") -> None:
    """Watch this process from a thread of its own, which needs no memory; its end is told on standard error."""
    words = f"{last_words}\n".encode()
    threading.Thread(target=_watch, args=(exit_code, words), name="memory-watch", daemon=True).start()


def end_if_without_memory() -> None:
    """End this process now if it gets no memory: what failed in it may have failed for that alone, and succeeds elsewhere."""
    if not _is_to_be_had():
        os.write(2, b"out of memory\n")
        os._exit(1)


def _watch(exit_code: int, last_words: bytes) -> None:
    refused = 0
    while refused < _REFUSED_IN_A_ROW:
        time.sleep(_EVERY_S)
        refused = 0 if _is_to_be_had() else refused + 1
    os.write(2, last_words)
    os._exit(exit_code)


def _is_to_be_had() -> bool:
    try:
        mmap.mmap(-1, _PROBE_BYTES).close()
    except (MemoryError, OSError):
        return False
    return True
