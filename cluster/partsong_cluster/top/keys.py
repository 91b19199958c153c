"""Keys: what is pressed while a screen is shown, without waiting for Return."""

import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Keys", "listened"]

_ENDS = frozenset("qQ\x1b")


class Keys:
    """The terminal's; of no terminal none is ever pressed."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal

    def end_within(self, seconds: float) -> bool:
        """Wait, and return early with True when the user wants to leave."""
        ends_s = time.monotonic() + seconds
        while (left_s := ends_s - time.monotonic()) > 0:
            if not self._terminal:
                time.sleep(left_s)
            elif select.select([sys.stdin], [], [], left_s)[0] and sys.stdin.read(1) in _ENDS:
                return True
        return False


@contextmanager
def listened() -> Iterator[Keys]:
    """Hear each key at once; put the terminal back as it was in the end."""
    if not sys.stdin.isatty():
        yield Keys(terminal=False)
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield Keys(terminal=True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
