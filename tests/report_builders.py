"""Builders for reports: rows, ways and sections with numbers that a test can reckon by hand."""

from collections.abc import Sequence
from random import Random

from partsong_cluster.report import PlanRun, Proved, Report, Section, section_of

from partsong.contracts import Answer, BillLine, Candidate, Failure, FailureCode, Route, RowRecord, Task, TierOutcome
from partsong.evaluation.lane import Lane
from partsong.evaluation.proof import Rivals, prove

HOSTILE = '<script>document.title = "taken over"</script><img src=x onerror="document.title=\'taken over\'">'


def record(row: int, text: str | None, *, expected: str | None = "yes", cost_usd: float = 0.001, prompt: str = "Yes or no?") -> RowRecord:
    """A row answered with the text; with None, a failed one."""
    about = {} if expected is None else {"expected": expected, "grader": {"label": ["yes", "no"]}}
    task = Task.of(prompt, id=f"q{row}").model_copy(update={"metadata": about})
    bill = (BillLine(step="mini", model="mini", cost_usd=cost_usd, latency_s=0.5),)
    if text is None:
        reply: Answer | Failure = Failure(code=FailureCode.TIMEOUT, message="no reply within 60 s", bill=bill)
    else:
        reply = Answer(
            text=text,
            source="mini",
            route=Route(use="mini", reason="rule 1: default"),
            candidates=(Candidate(source="mini", text=text, vote=text),),
            votes={text: 1.0},
            tiers=(TierOutcome(source="mini", confidence=0.9, trusted=True, reason="logprob 0.90 >= 0.85"),),
            bill=bill,
            latency_s=0.5,
        )
    return RowRecord(run="r", row=row, custom_id=f"q{row}", task=task, reply=reply)


def way(name: str, answers: str, *, cost_usd: float = 0.001, single: bool = False) -> PlanRun:
    """A way whose answer to row n is right where the n-th letter is `+`, wrong at `-`, failed at `x`."""
    texts = {"+": "yes", "-": "no", "x": None}
    records = [record(row, texts[letter], cost_usd=cost_usd) for row, letter in enumerate(answers)]
    return PlanRun(name, f"how {name} works", lambda: records, single)


def section(*ways: PlanRun, **options: object) -> Section:
    return section_of("A section", "about it", "usd", ways, **options)  # type: ignore[arg-type]


def report(*sections: Section, **fields: object) -> Report:
    return Report(title="A report", lead="what it is", sections=sections, **fields)  # type: ignore[arg-type]


def proved() -> Proved:
    """A mesh of two models that is right on every fourth row more than the mix of them at its cost, with a doubt that is a script."""
    solo = Lane([float(row % 4 > 1) for row in range(200)], [0.001] * 200)
    other = Lane([float(row % 4 > 0) for row in range(200)], [0.01] * 200)
    duet = Lane([1.0] * 200, [0.005] * 200)
    proof = prove("duet", duet, Rivals({"solo": solo, "other": other}), [row % 5 for row in range(200)], Random(1).random)
    return Proved(title="A proof", about="about it", proof=proof, doubts=(HOSTILE,))


def hostile_report(text: str = HOSTILE) -> Report:
    """A report with the text wherever input or models can put one."""
    bad: Sequence[RowRecord] = [record(row, text, prompt=f"{text}\n{text}\n{text}", expected=text) for row in range(4)]
    run = PlanRun(text, text, lambda: bad, single=True)
    other = PlanRun(f"{text}2", text, lambda: bad)
    return report(section_of(text, text, "usd", [run, other], notes=(text,)), left_out=(text,))


__all__ = ["HOSTILE", "hostile_report", "proved", "record", "report", "section", "way"]
