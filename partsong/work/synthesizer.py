"""Synthesizer: makes one answer of several candidates by a merge rule."""

import logging
import traceback
from typing import Protocol

from partsong.contracts import Failure, FailureCode, MergeWork, Reply
from partsong.merging import merge_rule

__all__ = ["Merger", "Synthesizer"]

_log = logging.getLogger(__name__)


class Merger(Protocol):
    """What combines candidates, in this process or another."""

    async def merge(self, work: MergeWork) -> Reply:
        """Return the merged answer."""
        ...


class Synthesizer:
    """Combines; holds nothing but a cache of rules."""

    async def merge(self, work: MergeWork) -> Reply:
        """Return the rule's answer; a rule that raises is an internal failure of this merge alone."""
        try:
            return merge_rule(work.rule).combine(work.candidates, work.replies)
        except Exception as error:  # noqa: BLE001  one bad merge must not take the rows beside it
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("merging raised %s at %s:%s", type(error).__name__, where.filename, where.lineno)  # its words may quote answers
            return Failure(code=FailureCode.INTERNAL, message=f"merging raised {type(error).__name__}; see the log")
