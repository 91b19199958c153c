"""Tree file: a grown tree as a mesh file that extends the one it was grown for, with what it is worth above it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from partsong.routing.grown import Grown
from partsong.routing.tree_text import in_words, tree_text

__all__ = ["Source", "facts_of", "in_terminal", "tree_file"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a tree was grown from."""

    mesh: Path
    verdicts: str
    """Where right and wrong came from: `labels`, `feedback`, `agreement`."""
    date: str
    """Day, ISO 8601."""


def tree_file(grown: Grown, source: Source, folder: Path) -> str:
    """Return the file's text, for this folder: it extends the mesh file where that lies in it."""
    head = "".join(f"# {line}\n" for line in _said(grown, source))
    mesh, home = source.mesh.resolve(), folder.resolve()
    if not mesh.is_relative_to(home):
        return f"{head}# To be used, it is to stand in {source.mesh}.\n{tree_text(grown)}"
    return f"{head}version: 1\nextends: {mesh.relative_to(home)}\n{tree_text(grown)}"


def in_terminal(grown: Grown, source: Source, output: Path) -> str:
    """Return what the terminal shows: the tree, what it is worth, where it was written."""
    return "\n".join([tree_text(grown).rstrip(), "", *_said(grown, source), f"Written to {output}; edit it as you like."])


def facts_of(grown: Grown, source: Source) -> dict[str, Any]:
    """Return the same facts as JSON has them."""
    leaves = [{"place": list(place), **asdict(leaf)} for place, leaf in grown.leaves.items()]
    return {
        "rows": grown.rows,
        "source": source.verdicts,
        "value_of_correct_usd": grown.value_usd,
        "tree": grown.tree.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True),
        "leaves": leaves,
        "judged": asdict(grown.judged),
        "single": asdict(grown.single),
        "warnings": list(grown.warnings),
    }


def _said(grown: Grown, source: Source) -> Iterator[str]:
    yield f"Grown from {grown.rows:,} rows ({source.verdicts}) on {source.date}; a right answer counted ${grown.value_usd:.3g}."
    if grown.tree.use is not None:
        yield "No tree is surely worth more here than one model for all rows."
    yield "The ranges behind shares are their 95 % intervals; those at the leaves are of the rows that the tree was grown from."
    yield f"On rows not grown from: {in_words(grown.judged)}; {in_words(grown.single)}."
