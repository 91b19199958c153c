"""Parts: which rows the demo works, in which ways, on which mesh file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from partsong_cluster.report import CostUnit

__all__ = ["WEIGHTS", "Lessons", "ModelSet", "Part", "Way", "local_part", "recorded_part"]

ModelSet = Literal["small", "default", "full"]
"""Which language models part 1 takes: 98 MB, 590 MB or 1.7 GB of weights."""

WEIGHTS: dict[ModelSet, tuple[str, ...]] = {
    "small": ("smollm2-135m",),
    "default": ("smollm2-135m", "qwen2.5-coder-0.5b"),
    "full": ("smollm2-135m", "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"),
}

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Way:
    """One way of answering the rows of a part."""

    name: str
    about: str
    use: str | None = None
    """The model or plan asked; None leaves each row to the routes."""
    single: bool = False


@dataclass(frozen=True, slots=True)
class Lessons:
    """Rows that a part learns from before it is worked, none of which it is judged on."""

    mesh: Path
    """The part's mesh and what was learned."""
    input: Path
    way: Way
    """Asks every model of the part's own mesh."""
    ways: Sequence[Way]
    """What can be done with it."""
    proved: Way
    """Which of them is set beside what the same dollars buy without it."""
    promised: Way
    """One more, where what was learned can make a promise."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows, a mesh, and the ways tried."""

    name: str
    title: str
    about: str
    mesh: Path
    input: Path
    ways: Sequence[Way]
    unit: CostUnit
    strong: str
    concurrency: int
    """Rows in flight."""
    says: Sequence[str] = ()
    """What is told besides what the figures say."""
    notes: Sequence[str] = ()
    rows: int | None = None
    """Only so many, from the start; None takes all."""
    shows_latency: bool = True
    live: Path | None = None
    """One request of several parts, asked on the same mesh."""
    lessons: Lessons | None = None


_LOCAL = {
    "smol": Way("smol", "SmolLM2, 135M parameters", "smol", single=True),
    "qwen05": Way("qwen05", "Qwen2.5-Coder, 0.5B", "qwen05", single=True),
    "qwen15": Way("qwen15", "Qwen2.5-Coder, 1.5B", "qwen15", single=True),
}
_LOCAL_BY_SET: dict[ModelSet, tuple[str, ...]] = {"small": ("smol",), "default": ("smol", "qwen05"), "full": ("smol", "qwen05", "qwen15")}
_LEXICON = Way("lexicon", "a sentiment lexicon; fails on all other rows", "lexicon", single=True)
_LANGID = Way("langid", "a language identifier; fails on all other rows", "langid", single=True)
_CASCADE = Way("cascade", "lexicon, then language identifier, then the language model, each while not trusted", "cascade")
_ROUTED = Way("routed", "each kind of row to the worker made for it")

_ROWS_NOTE = (
    "The rows: 60 bank customers' queries (5 topics), 60 rated posts (positive or negative), 55 sentences (5 languages); their sources "
    "stand in demo/data/ATTRIBUTION.md. The lexicon was made on posts like these, so it does better here than it would on other text."
)
_COST_NOTE = (
    "Cost is processor time of this machine. A call that an earlier way has made already is taken from the journal and counted with what "
    "it took then; latency adds up the calls of a row as its plan makes them, one after another or side by side, without waiting for a "
    "free worker."
)
_RECORDED_NOTE = (
    "Recorded answers of 2024 (ZeroEval), at list prices of that time, tokens estimated from characters; sources stand in "
    "demo/data/ATTRIBUTION.md. Latency was not recorded."
)
_WEIGHTS_NOTE = "The weights of the weighted vote are the models' accuracies on the lessons."
_LEARNED_NOTE = (
    "routed, frugal, thorough and, where there is one, promised go by what was learned from the models' answers to the lessons: 600 other "
    "questions of the same kinds, none of which is among those shown here. routed asks one model alone, and takes a right answer to be "
    "worth five cents: one point more right answers may cost it 50 cents more per 1,000."
)


_WITHOUT_MODELS = 115
"""Rows at the start of mixed.jsonl that ask for sentiment or language."""


def local_part(models: ModelSet | None) -> Part:
    """Return part 1 with these models; None takes the workers that need no weights, and only the rows that those can answer."""
    singles = () if models is None else tuple(_LOCAL[name] for name in _LOCAL_BY_SET[models])
    vote = Way("vote", "everybody who can answer has a vote", "vote")
    return Part(
        name="workers" if models is None else f"local-{models}",
        title="Small models and specialised workers on this machine",
        about="Mixed customer rows: what is this about, is it positive or negative, which language is it?",
        mesh=_HERE / f"{'workers' if models is None else models}.yaml",
        input=_HERE / "data" / "mixed.jsonl",
        ways=(_LEXICON, _LANGID, _CASCADE, _ROUTED) if models is None else (*singles, vote, _CASCADE, _ROUTED),
        unit="cpu_s",
        strong="" if models is None else singles[-1].name,
        concurrency=4,
        notes=(_ROWS_NOTE, _COST_NOTE),
        rows=_WITHOUT_MODELS if models is None else None,
        live=None if models is None else _HERE / "data" / "feedback.jsonl",
    )


_COMMERCIAL = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "sonnet-3.5": "claude-3-5-sonnet-20241022",
    "mistral-large": "Mistral-Large-2",
    "llama-405b": "Llama-3.1-405B-Instruct",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "haiku-3.5": "claude-3-5-haiku-20241022",
    "deepseek-2.5": "deepseek-v2.5-0908",
    "gemini-flash": "gemini-1.5-flash",
}


_FRUGAL = Way("frugal", "learned: asks on until sure, the cheapest that should reach the best single model", "frugal")
_LESSONS = Lessons(
    mesh=_HERE / "learned.yaml",
    input=_HERE / "data" / "lessons.jsonl.gz",
    way=Way("lessons", "asks all eight", "vote"),
    ways=(
        Way("routed", "learned: each question to the one model that promises most for its price"),
        _FRUGAL,
        Way("thorough", "learned: asks on until sure, the cheapest that should reach the vote of all", "thorough"),
    ),
    proved=_FRUGAL,
    promised=Way("promised", "learned: asks on until it is as sure as the tested promise wants", "promised"),
)


def recorded_part(*, learns: bool = True) -> Part:
    """Return part 3, with or without what can be learned."""
    singles = tuple(Way(name, full, name, single=True) for name, full in _COMMERCIAL.items())
    combined = (
        Way("vote", "all eight, one vote each", "vote"),
        Way("weighted-vote", "all eight, votes weighted by accuracy elsewhere", "weighted-vote"),
        Way("cheap-trio", "the three cheapest, one vote each", "cheap-trio"),
        Way("cascade", "the three cheapest; gpt-4o where they do not all agree", "cascade"),
    )
    return Part(
        name="recorded",
        title="Eight commercial models, recorded",
        about="Half of the questions are about code (CRUXEval: what does this Python function return?), half are sums in words (GSM8K).",
        lessons=_LESSONS if learns else None,
        mesh=_HERE / "recorded.yaml",
        input=_HERE / "data" / "questions.jsonl.gz",
        ways=(*singles, *combined),
        unit="usd",
        shows_latency=False,
        strong="gpt-4o",
        concurrency=32,
        notes=(_RECORDED_NOTE, _WEIGHTS_NOTE, *((_LEARNED_NOTE,) if learns else ())),
    )
