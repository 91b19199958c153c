"""A bill: what each model call of a row took, answered or not."""

from typing import Literal

from pydantic import NonNegativeInt

from partsong.contracts.completion import Usage
from partsong.contracts.frozen import Frozen, Seconds, Usd

__all__ = ["BillLine"]


class BillLine(Frozen):
    """What one model call of the row took."""

    step: str
    model: str
    """The mesh file's name of the model."""
    usage: Usage = Usage()
    cost_usd: Usd = 0.0
    possible_usd: Usd = 0.0
    """What attempts that may have reached the provider, but told no usage, can have cost at most, besides `cost_usd`."""
    cpu_s: Seconds = 0.0
    latency_s: Seconds = 0.0
    """From its first attempt to its end, as it was waited for here; of `journal` and `cache`, what the answer took when it was made."""
    answer_s: Seconds = 0.0
    """What the answer itself took, without retries and the way to it; 0 when there was none, or nobody measured."""
    attempts: NonNegativeInt = 1
    """Requests made, hedges counted."""
    outcome: Literal["answered", "failed", "cancelled", "journal", "cache"] = "answered"
    """`journal`: taken from this run's journal on resume; `cache`: from an earlier run. Neither is paid again."""
    failure: str | None = None
    """The failure's code, when it failed."""
