"""A failure: why there is no answer, as a value that a plan decides about."""

from enum import StrEnum
from typing import Literal

from partsong.contracts.bill import BillLine
from partsong.contracts.frozen import Frozen, Seconds, Usd
from partsong.contracts.route import Route

__all__ = ["Failure", "FailureCode", "Sent"]

Sent = Literal["no", "maybe", "yes"]
"""Whether the request can have reached the provider, and so may be billed."""


class FailureCode(StrEnum):
    """Stable codes; the text under each is its page in the reference."""

    AUTH = "auth"
    """The provider refused the key (401)."""
    FORBIDDEN = "forbidden"
    """The key is good but not for this (403)."""
    NOT_FOUND = "not-found"
    """The provider knows no such model or address (404)."""
    BAD_REQUEST = "bad-request"
    """The provider refused the request itself (400, 409, 422)."""
    TOO_LARGE = "too-large"
    """The request is larger than the provider takes, or the reply larger than we do (413)."""
    RATE_LIMITED = "rate-limited"
    """The provider asks to slow down (429)."""
    OVERLOADED = "overloaded"
    """The provider is busy (503, 529)."""
    SERVER_ERROR = "server-error"
    """The provider broke (other 5xx)."""
    TIMEOUT = "timeout"
    """No complete reply within the model's timeout (also 408 and 504)."""
    CONNECT = "connect"
    """No connection could be made: the request was never sent."""
    CONNECTION_LOST = "connection-lost"
    """The connection broke after the request may have been sent."""
    STREAM_BROKEN = "stream-broken"
    """A streamed reply ended before its end mark."""
    MALFORMED_REPLY = "malformed-reply"
    """The reply is not what the protocol promises."""
    CONTENT_FILTER = "content-filter"
    """The provider withheld the reply."""
    NO_RECORDING = "no-recording"
    """The recorded outcomes hold no reply of this model to this row."""
    NOT_COVERED = "not-covered"
    """A replay came to a call that the recorded runs did not make; nothing is guessed, so the row says nothing about the plan."""
    UNAVAILABLE = "unavailable"
    """The model is given a rest after too many failures (its breaker is open), or no retry is left in its budget; nothing was sent."""
    WORKER_ERROR = "worker-error"
    """A Python worker or embedded model raised."""
    WORKER_LOST = "worker-lost"
    """The worker's process died with the call in flight."""
    CANNOT_START = "cannot-start"
    """No worker of the model can start (missing weights or package, a wrong target). A row that fails for it stops the run instead."""
    UNSUPPORTED = "unsupported"
    """The model cannot take this part or do this (an image to a text-only model)."""
    INVALID_ANSWER = "invalid-answer"
    """The answer does not satisfy the JSON Schema, also after one repair, or a stage's check."""
    NO_QUORUM = "no-quorum"
    """Fewer members answered than the plan needs."""
    BAD_PLAN = "bad-plan"
    """The planner's subtasks were no usable graph, also after one repair, and no other plan is named."""
    DEADLINE = "deadline"
    """The row's deadline passed."""
    ROW_BUDGET = "row-budget"
    """The next call could pass the row's own limit of calls, tokens or dollars."""
    RUN_BUDGET = "run-budget"
    """The next call could pass the run's dollars."""
    CANCELLED = "cancelled"
    """The call was stopped before it was answered: its row's deadline passed, or others had answered already."""
    UNKNOWN_NAME = "unknown-name"
    """The row names a model or plan that the mesh does not have."""
    BAD_ROW = "bad-row"
    """The input row cannot be read as a task."""
    INTERNAL = "internal"
    """A fault of Partsong's own; please report it."""


class Failure(Frozen):
    """Why there is no answer."""

    code: FailureCode
    message: str
    """What went wrong and what to do, for a person. Never a key; it may hold up to 400 characters of the provider's own words, and those
    may quote the prompt."""
    where: str = ""
    """Model, plan step or input line it happened at."""
    retryable: bool = False
    """Whether the same request may succeed later."""
    sent: Sent = "no"
    status: int | None = None
    """HTTP status, where there was one."""
    retry_after_s: Seconds | None = None
    """How long the provider asks to wait."""
    cost_usd: Usd = 0.0
    """US dollars that the failed attempt is known to have cost."""
    bill: tuple[BillLine, ...] = ()
    """Every call that the row made before it failed (on a row's failure; empty on a call's)."""
    route: Route | None = None
    """Where the row had gone (on a row's failure); None when it went nowhere."""
