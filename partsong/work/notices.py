"""Notices: what is told of one thing is told once, not once a call."""

import logging
from collections.abc import Callable

from partsong.contracts import Notice

__all__ = ["Notices", "Tell", "logged"]

_log = logging.getLogger(__name__)

Tell = Callable[[Notice], None]

_AGAIN_AFTER_S = 60.0
"""What still is so after this long is told again."""


class Notices:
    """Passes on the first notice of a code and place; later ones when the time is up. Call it with a notice."""

    def __init__(self, tell: Tell, now_s: Callable[[], float]) -> None:
        self._tell = tell
        self._now_s = now_s
        self._told_s: dict[tuple[str, str], float] = {}

    def __call__(self, notice: Notice) -> None:
        """Tell it, unless it was told lately."""
        key, now_s = (notice.code, notice.where), self._now_s()
        if now_s - self._told_s.get(key, -_AGAIN_AFTER_S) >= _AGAIN_AFTER_S:
            self._told_s[key] = now_s
            self._tell(notice)


def logged(notice: Notice) -> None:
    """Write it to the log: where nobody is told otherwise."""
    _log.warning("%s", notice)
