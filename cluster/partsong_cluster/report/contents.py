"""Contents: what a report says, before it becomes a page; small, whatever the size of the runs."""

from typing import Literal

from partsong.contracts import Frozen, Probability, Reply, Seconds, Usd
from partsong.evaluation.baseline import Against, Figures
from partsong.evaluation.edits import Edits
from partsong.evaluation.figure import Figure
from partsong.evaluation.proof import Proof
from partsong.evaluation.summary import PlanSummary
from partsong.telemetry.tree import RowTrace

__all__ = [
    "Capability",
    "CapabilityCell",
    "CapabilityRow",
    "CostUnit",
    "Fact",
    "FailureExample",
    "Live",
    "ModelLine",
    "PlanLine",
    "Proved",
    "Report",
    "SampleRow",
    "Section",
    "Shown",
    "TookRow",
]

CostUnit = Literal["usd", "cpu_s"]
"""What cost is counted in: US dollars, or processor seconds of this machine."""


class Fact(Frozen):
    """One line of small print: what, and what it is."""

    name: str
    value: str


class PlanLine(Frozen):
    """What one way of answering came to."""

    name: str
    about: str
    """What it does, in words."""
    single: bool
    """Whether it is one model and nothing else."""
    summary: PlanSummary
    strong_share: Figure | None = None
    """Share of rows that reached the strong model; None when there is none to speak of."""
    figures: Figures | None = None
    """What it came to, with intervals; None when it has no row."""
    edits: Edits | None = None
    """What people changed of its answers; None when that is not recorded."""
    against_best: Against | None = None
    """On the same rows, A the best single model, B this one; None for that model itself, or when nothing is graded."""

    def cost_per_1000(self, unit: CostUnit) -> float:
        """Return the cost of 1,000 rows."""
        return self.summary.usd_per_1000 if unit == "usd" else self.summary.cpu_s_per_1000


class Shown(Frozen):
    """One way's answer to a sampled row."""

    plan: str
    reply: Reply
    right: bool | None


class SampleRow(Frozen):
    """A row with every way's answer to it."""

    custom_id: str
    about: str
    """What it is about, in a line: its `text` in the metadata where a prompt is wrapped around it, else the prompt's last line."""
    prompt: str
    expected: str
    shown: tuple[Shown, ...]
    trace: RowTrace | None = None
    """What one of the ways went through to answer it."""
    traced: str = ""
    """Which one."""


class FailureExample(Frozen):
    """One of a way's rows that failed with a code."""

    plan: str
    code: str
    place: str
    """File and line of the row in the input."""
    reason: str


class ModelLine(Frozen):
    """What one model was asked in a run."""

    name: str
    calls: int
    reused: int
    """Answered from the journal or the cache."""
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Usd
    cpu_s: Seconds
    retries: int
    failed: int


class Section(Frozen):
    """Several ways on the same rows."""

    title: str
    about: str
    rows: int
    unit: CostUnit
    shows_latency: bool = True
    """Whether latency means anything here."""
    strong: str = ""
    """The strong model, whose share of rows the table shows."""
    lines: tuple[PlanLine, ...]
    failed: tuple[FailureExample, ...] = ()
    """The first of each way and code."""
    models: tuple[ModelLine, ...] = ()
    """Of a single run: who was asked."""
    samples: tuple[SampleRow, ...] = ()
    says: tuple[str, ...] = ()
    """What the headline tells besides what the figures say."""
    notes: tuple[str, ...] = ()


class Proved(Frozen):
    """A mesh beside what the same dollars buy without it."""

    title: str
    about: str
    proof: Proof
    doubts: tuple[str, ...] = ()
    """What keeps it from being stronger."""
    beside: tuple[PlanLine, ...] = ()
    """Further ways of combining over the same rows, drawn beside it."""


class CapabilityCell(Frozen):
    """One model on one kind of task."""

    right: Probability
    """Share right, shrunk towards the model's mean where rows are few."""
    low: Probability
    high: Probability
    """95 % interval."""
    n: int


class CapabilityRow(Frozen):
    """One kind of task."""

    kind: str
    cells: tuple[CapabilityCell, ...]
    """By model, in the table's order."""


class TookRow(Frozen):
    """What calls cost, or how long they took."""

    name: str
    cells: tuple[tuple[str, str], ...]
    """By model, in the table's order: what, and its interval."""


class Capability(Frozen):
    """What each model is good at."""

    models: tuple[str, ...]
    rows: tuple[CapabilityRow, ...]
    took: tuple[TookRow, ...] = ()
    found_in_words: bool
    """Whether kinds were found in the prompts' words, since the rows name none."""
    gaps: tuple[str, ...] = ()
    """What no model does well, in words."""


class Live(Frozen):
    """One request of several parts, and how it was worked."""

    request: str
    reply: Reply
    trace: RowTrace | None = None
    note: str = ""


class Report(Frozen):
    """A whole report."""

    title: str
    lead: str
    sections: tuple[Section, ...]
    proofs: tuple[Proved, ...] = ()
    capability: Capability | None = None
    live: Live | None = None
    left_out: tuple[str, ...] = ()
    """What is not in it, and why."""
    facts: tuple[Fact, ...] = ()
    took_s: Seconds = 0.0
