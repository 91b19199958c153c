"""What was learned, for the terminal: who is right how often, what each policy gave on rows kept back, what can be promised."""

from collections.abc import Iterator, Sequence
from math import isnan

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from partsong.learning.learned import Learned
from partsong.learning.matrix import Cell
from partsong.learning.tabled import AGREEMENT
from partsong_cluster.report.words import counted, money, seconds, share
from partsong_cluster.terminal import plain

__all__ = ["learned_shown"]

_NOTHING = "\u2013"
_CALLED = {
    "best": "best single: {best}",
    "vote": "all vote, by log-odds",
    "gate": "gate: ${value:.3g} a right answer",
    "frugal@best": "frugal: best",
    "frugal@cost": "frugal: cost",
    "frugal@vote": "frugal: vote",
    "frugal@promised": "frugal: promised",
}


def learned_shown(learned: Learned, place: str) -> Group:
    """Return what was learned; `place` is where it was written."""
    return Group(*_parts(learned, place))


def _parts(learned: Learned, place: str) -> Iterator[RenderableType]:
    new = f", and {counted(len(learned.newcomers), 'new one')}" if learned.newcomers else ""
    head = f"Learned from {counted(learned.rows, 'row')} and {len(learned.models)} models{new}; what is right: by {learned.source}"
    yield Text(plain(head), "bold")
    yield Text()
    yield _models(learned)
    if learned.figures:
        yield Text()
        yield _figures(learned)
    yield Text()
    yield from (Padding(Text(plain(sentence)), (0, 0, 0, 2)) for sentence in _sentences(learned))
    yield from (Text(plain(f"! {warning}"), "yellow") for warning in learned.warnings)
    yield Text(plain(f"{place}  (in the mesh file: `learned: {place}`)"), "dim")


def _models(learned: Learned) -> Table:
    overall = {model: [cell for cell in learned.cells if cell.model == model] for model in learned.models}
    new = {one.model: one for one in learned.newcomers}
    stated = {one.model: one for one in learned.trusted if one.kind == "all"}
    names = ("rows", _right_of(learned), "$ per 1,000", "p50", "p95", *(("ECE stated", "ECE made honest") if stated else ()))
    table = _table("model", names)
    for usage in learned.usage:
        rows, right = _measured(overall[usage.model]) if usage.model in overall else (new[usage.model].words, new[usage.model].expected)
        line = [rows, _share(right), _usd(usage.cost_usd * 1000), _seconds(usage.latency_p50_s), _seconds(usage.latency_p95_s)]
        one = stated.get(usage.model)
        line += ([_NOTHING] * 2 if one is None else [f"{one.stated_ece:.3f}", f"{one.ece:.3f}"]) if stated else []
        table.add_row(Text(plain(usage.model)), *line)
    return table


def _measured(cells: Sequence[Cell]) -> tuple[str, float]:
    rows = sum(cell.n for cell in cells)
    return f"{rows:,}", sum(cell.n * cell.accuracy for cell in cells) / rows if rows else float("nan")


def _figures(learned: Learned) -> Table:
    table = _table("policy", (_right_of(learned), "95 % interval", "$ per 1,000", "asked", "ECE"))
    for one in learned.figures:
        ece = _NOTHING if isnan(one.ece) else f"{one.ece:.3f}"
        within = f"{100 * one.low:.1f} to {100 * one.high:.1f}"
        name = Text(plain(_called(one.policy, learned)), "bold" if one.policy == learned.advice else "")
        table.add_row(name, _share(one.accuracy), within, _usd(one.usd_per_1000), f"{one.asked:.1f}", ece)
    table.caption = (
        f"on {counted(learned.figures[0].n, 'row')} kept back; asked: models a row, mean; ECE: error of the stated chance to be right"
    )
    table.caption_justify = "left"
    return table


def _right_of(learned: Learned) -> str:
    """Return the header of a share right: nobody who reads the table alone may take an estimate for a measurement."""
    return "right (estimate)" if learned.source == AGREEMENT else "right"


def _called(policy: str, learned: Learned) -> str:
    kind, _, name = policy.partition("@")
    return f"cascade: {name}" if kind == "cascade" else _CALLED[policy].format(best=learned.policies.best, value=learned.gate_value_usd)


def _table(first: str, names: Sequence[str]) -> Table:
    numbers = (Column(name, justify="right", no_wrap=True) for name in names)
    return Table(Column(first, overflow="fold"), *numbers, box=None, pad_edge=False, header_style="dim")


def _sentences(learned: Learned) -> Iterator[str]:
    kept = learned.kept
    if kept is not None:
        promised = "A promise that was tested (`frugal: promised`)" if kept.policy is not None else "Promise"
        yield f"{promised}: {kept.words}. Tested on {counted(kept.rows, 'row')} kept back."
    for one in learned.cascades:
        tested = f" Tested on {counted(one.rows, 'row')} kept back." if one.promise is not None else ""
        yield f"Cascade {one.told}.{tested}"
    if learned.figures:
        yield f"By these settings: {_advised(learned)}."
    yield from (f"Gap: {gap.words}." for gap in learned.gaps)


def _advised(learned: Learned) -> str:
    settings = learned.settings
    why = f"at ${settings.value_of_correct_usd:g} a right answer" if settings.value_of_correct_usd is not None else ""
    within = f"within ${settings.budget_usd:g} per 1,000 rows" if settings.budget_usd is not None else ""
    aim = " and ".join(part for part in (why, within) if part)
    named = "the promised policy" if learned.advice == "promised" else _called(learned.advice, learned)
    return f"{named} is worth most {aim}" if aim else f"{named}; --value-of-correct or --budget choose otherwise"


def _share(value: float) -> str:
    return _NOTHING if isnan(value) else share(value)


def _usd(value: float) -> str:
    return _NOTHING if isnan(value) else money(value, "usd")


def _seconds(value: float) -> str:
    return _NOTHING if isnan(value) else seconds(value)
