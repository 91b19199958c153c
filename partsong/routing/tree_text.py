"""Tree text: a grown tree as YAML for a person to edit, with what is known of each leaf beside it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from partsong.routing.grown import Grown, Leaf, Worth
from partsong.routing.tree import Tree

__all__ = ["in_words", "tree_text"]

_PLAIN = re.compile(r"[A-Za-z_][\w-]*")


def tree_text(grown: Grown) -> str:
    """Return the mesh file's `tree` section."""
    return "\n".join(["tree:", *_lines(grown.tree, (), grown)]) + "\n"


def in_words(worth: Worth) -> str:
    """Return what one way of answering gave."""
    right = (
        f"right on {100 * worth.accuracy:.1f} % of {worth.n:,}, {100 * worth.low:.0f} % to {100 * worth.high:.0f} %,"
        if worth.n
        else "not known to be right"
    )
    return f"{worth.use} {right} at ${1000 * worth.cost_usd:.3g} per 1,000"


def _lines(tree: Tree, place: tuple[str, ...], grown: Grown) -> Iterator[str]:
    indent = "  " * (len(place) + 1)
    if tree.condition is None:
        yield f"{indent}use: {tree.use}  # {_leaf(grown.leaves[place])}"
        return
    yield f"{indent}if: {_flow(tree.condition.model_dump(mode='json', by_alias=True, exclude_defaults=True))}"
    for part, inner in (("then", tree.then), ("else", tree.otherwise)):
        if inner is not None:
            yield f"{indent}{part}:"
            yield from _lines(inner, (*place, part), grown)


def _leaf(leaf: Leaf) -> str:
    others = "" if leaf.rival == leaf.chosen else f" ({in_words(leaf.rival)})"
    return f"{leaf.rows:,} rows: {in_words(leaf.chosen)}{others}"


def _flow(value: Any) -> str:
    """Return a value in YAML's flow style; what is no plain word in quotes."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_flow(key)}: {_flow(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_flow, value))}]" if len(value) != 1 else _flow(value[0])
    reserved = isinstance(value, str) and value.lower() in ("true", "false", "null", "yes", "no", "on", "off")
    return value if isinstance(value, str) and _PLAIN.fullmatch(value) and not reserved else json.dumps(value)
