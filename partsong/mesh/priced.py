"""Priced: whether every model that may be asked has a price; a budget holds over no other."""

from collections.abc import Iterator

from partsong.errors import MeshError, Place
from partsong.mesh.schema import Mesh

__all__ = ["check_priced"]


def check_priced(mesh: Mesh, use: str | None = None) -> None:
    """Raise MeshError when a model that may be asked has no price; `use` is the model or plan of all rows, where one is given."""
    for name in mesh.models if use is None else _asked(mesh, use):
        if mesh.models[name].price is None:
            raise MeshError(
                "no-price",
                f"{name} has no price, so that a budget could not hold",
                at=Place("", field=f"models.{name}.price"),
                remedy="give it `price: {input: ..., output: ...}` in US dollars per million tokens; zeros when it is free",
            )


def _asked(mesh: Mesh, use: str) -> Iterator[str]:
    """Yield the models that may be asked for a row of this model, plan or experiment: fallbacks too, and theirs."""
    seen: set[str] = set()
    ahead = [use]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in mesh.plans:
            ahead.extend(mesh.plans[name].asks())
        elif name in mesh.experiments:
            ahead += mesh.experiments[name].champion, mesh.experiments[name].challenger
        elif name in mesh.models:
            yield name
            ahead.extend(mesh.models[name].fallbacks if mesh.fallbacks else ())
