"""What coordinator, worker, synthesizer and journal say to each other."""

from typing import Annotated

from pydantic import Field, JsonValue, NonNegativeInt, PositiveFloat

from partsong.contracts.answer import Candidate, Reply
from partsong.contracts.completion import Completion
from partsong.contracts.failure import Failure
from partsong.contracts.frozen import Frozen, Name, Probability, Seconds, Usd
from partsong.contracts.task import Task

__all__ = ["Answered", "Call", "CallRecord", "CompletedOrFailed", "MergeWork", "Row", "RowOutcome", "RowRecord", "Terms"]

Answered = Annotated[Reply, Field(union_mode="left_to_right")]
CompletedOrFailed = Annotated[Completion | Failure, Field(union_mode="left_to_right")]
"""Tried in turn: unknown fields are errors, so only one fits, and success is the common case."""


class Call(Frozen):
    """One attempt at a model, as a worker receives it."""

    model: str
    task: Task
    step: str
    timeout_s: Seconds
    """What is left for this attempt: the model's own limit or the row's deadline, whichever is nearer."""
    traceparent: str = ""
    """W3C trace context of the attempt's parent span."""


class CallRecord(Frozen):
    """A finished model call, as the journal keeps it."""

    run: str
    row: NonNegativeInt
    step: str
    ask_hash: bytes
    """16 bytes over all that was asked: the model's identity, messages, sampling, schema, tools."""
    model: str
    reply: CompletedOrFailed
    attempts: NonNegativeInt = 1
    at_s: float = 0.0
    """Unix time."""
    settled: bool = True
    """False: a failure that may pass; it is kept for its cost, and asked again on resume."""
    cost_usd: Usd = 0.0
    """US dollars that all attempts are known to have cost."""
    possible_usd: Usd = 0.0
    """US dollars that attempts which may have reached the provider, of which it told no usage, can have cost at most."""


class RowRecord(Frozen):
    """A finished row, as the journal keeps it."""

    run: str
    row: NonNegativeInt
    custom_id: str
    task: Task | None = None
    """None when the row could not be read."""
    reply: Answered
    line: NonNegativeInt = 0
    """Line (or record) of the input, from 1; 0 when there was no input file."""
    source: str = ""
    """The input file."""
    raw: str = ""
    """The input as it stood (at most 10 kB), for a row that could not be read."""
    at_s: float = 0.0
    """Unix time."""


class Terms(Frozen):
    """On what terms a run's rows are worked: its share of what is scarce, and its dollars."""

    weight: PositiveFloat = 1.0
    """Its share of permits beside other runs on the same engine: twice the weight, twice the calls."""
    budget_usd: Usd | None = None
    """US dollars of the run, earlier sessions included."""
    spent_usd: dict[str, Usd] = {}
    """What earlier sessions of the run spent, by model."""
    today_usd: dict[str, Usd] = {}
    """What was spent since midnight UTC before this session began, by model."""
    replayed: bool = False
    """Whether what the cache answers counts against a row's own limits, as if it were called and paid now: in a replay."""


class Row(Frozen):
    """One task on its way through the engine."""

    run: str
    row: NonNegativeInt
    task: Task
    held: tuple[CallRecord, ...] = ()
    """Calls of this row that the journal holds already: never made again."""
    line: NonNegativeInt = 0
    source: str = ""
    traceparent: str = ""
    """W3C trace context of whoever submitted the row; empty starts a trace."""
    terms: Terms = Terms()
    epoch: NonNegativeInt = 0
    """Which holder of the run gives it, where several may follow each other: rows of an earlier one are refused."""
    shares: dict[Name, Probability] = {}
    """The challenger's share of rows that each rollout has come to, by experiment; one that is not here is at its first stage."""


class RowOutcome(Frozen):
    """What the engine answers to a row; by then its record is durable."""

    row: NonNegativeInt
    custom_id: str
    reply: Answered


class MergeWork(Frozen):
    """A merge, as a synthesizer receives it."""

    rule: JsonValue
    """The merge rule as the mesh file writes it: `{"majority": {...}}`."""
    candidates: tuple[Candidate, ...]
    replies: tuple[Answered, ...]
    traceparent: str = ""
    """W3C trace context of the merge's span."""
