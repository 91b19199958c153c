"""Timeline: a row's trace as bars, for the page."""

from collections.abc import Iterator
from typing import NamedTuple

from partsong.telemetry.tree import RowTrace, SpanNode
from partsong_cluster.report.words import money, seconds

__all__ = ["Bar", "timeline"]

_LONGEST = 60


class Bar(NamedTuple):
    """One span."""

    name: str
    depth: int
    start: float
    """Per cent of the row's time."""
    length: float
    """Per cent of the row's time; never so little that it cannot be seen."""
    took: str
    kind: str
    """`call`, `failed`, `cancelled` or `step`: its colour."""
    about: str


def timeline(trace: RowTrace) -> list[Bar]:
    """Return the spans as bars, in the order of the tree; the first sixty."""
    return [_bar(depth, node, trace.duration_s or 1e-9) for depth, node in _shown(trace)][:_LONGEST]


def _shown(trace: RowTrace) -> Iterator[tuple[int, SpanNode]]:
    yield from trace.walk()


def _bar(depth: int, node: SpanNode, total_s: float) -> Bar:
    start = min(99.5, node.start_s / total_s * 100)
    length = min(100 - start, max(0.5, node.duration_s / total_s * 100))
    return Bar(node.name, depth, start, length, seconds(node.duration_s), _kind(node), _about(node))


def _kind(node: SpanNode) -> str:
    if node.error:
        return "failed"
    if node.attributes.get("partsong.cancelled"):
        return "cancelled"
    return "call" if "gen_ai.request.model" in node.attributes else "step"


def _about(node: SpanNode) -> str:
    told = node.attributes
    facts = []
    prompt_tokens, completion_tokens = told.get("gen_ai.usage.input_tokens"), told.get("gen_ai.usage.output_tokens")
    if prompt_tokens or completion_tokens:
        facts.append(f"{prompt_tokens or 0} → {completion_tokens or 0} tokens")
    cost_usd = told.get("partsong.cost_usd")
    if isinstance(cost_usd, float) and cost_usd:
        facts.append(money(cost_usd, "usd"))
    if node.error:
        facts.append(node.error)
    return " · ".join(facts)
