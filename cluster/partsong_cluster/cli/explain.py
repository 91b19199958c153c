"""Explain: how an answer came about, for the terminal: route, tiers, votes, calls, cost."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from partsong.contracts import Answer, BillLine, Reply, TierOutcome
from partsong_cluster.terminal import plain

__all__ = ["explained"]

_LONGEST_CANDIDATE = 70


def explained(reply: Reply) -> Group:
    """Return what is known of the reply's path, a line a fact."""
    return Group(*_parts(reply))


def _parts(reply: Reply) -> Iterator[RenderableType]:
    if isinstance(reply, Answer):
        yield _facts(reply)
        if reply.tiers:
            yield _table("tiers", ("", "confidence", "trusted", "why"), [_tier(tier) for tier in reply.tiers])
        if reply.votes:
            ranked = sorted(reply.votes.items(), key=lambda vote: -vote[1])
            yield _table("votes", ("answer", "weight"), [(_short(vote), f"{weight:g}") for vote, weight in ranked])
        if reply.candidates:
            yield _table("candidates", ("from", "vote", "text"), [(c.source, c.vote or "-", _short(c.text)) for c in reply.candidates])
    if reply.bill:
        yield _table("calls", ("model", "step", "outcome", "tokens", "took", "cost"), [_call(line) for line in reply.bill])


def _facts(answer: Answer) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    if answer.route is not None:
        grid.add_row("route", Text(plain(f"{answer.route.use} ({answer.route.in_words})")))
    grid.add_row("source", Text(plain(answer.source)))
    if answer.confidence is not None:
        grid.add_row("confidence", f"{answer.confidence:.2f}")
    if answer.stopped:
        grid.add_row("stopped", Text(plain(answer.stopped)))
    grid.add_row("cost", f"${answer.cost_usd:.6f} in {len(answer.bill)} call{'' if len(answer.bill) == 1 else 's'}")
    grid.add_row("took", f"{answer.latency_s:.2f} s")
    if answer.trace_id:
        grid.add_row("trace", answer.trace_id)
    return grid


def _tier(tier: TierOutcome) -> tuple[str, ...]:
    confidence = "-" if tier.confidence is None else f"{tier.confidence:.2f}"
    return tier.source, confidence, "yes" if tier.trusted else "no", tier.reason


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return table


def _call(line: BillLine) -> tuple[str, ...]:
    tokens = f"{line.usage.prompt_tokens:,} + {line.usage.completion_tokens:,}"
    outcome = line.outcome if line.failure is None else f"{line.outcome}: {line.failure}"
    retried = f", {line.attempts} attempts" if line.attempts > 1 else ""
    return line.model, line.step, outcome + retried, tokens, f"{line.latency_s:.2f} s", f"${line.cost_usd:.6f}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CANDIDATE else f"{line[: _LONGEST_CANDIDATE - 1]}…"
