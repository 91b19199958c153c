"""An adapter: one wire shape. Request out, reply in, errors mapped; retries, limits, time-outs and tracing are the worker's."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar

from partsong.contracts import Completion, Failure, ModelSpec, Task
from partsong.contracts.allowed import NOTHING, Allowed
from partsong.errors import MeshError, Problem

__all__ = ["Adapter", "Surroundings", "adapter_kinds"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter is given besides its entry in the mesh file."""

    name: str
    """The mesh file's name of the model."""
    folder: Path = Path()
    """The mesh file's folder: relative paths start here."""
    secret: str | None = field(default=None, repr=False)
    """The resolved `api_key`."""
    allowed: Allowed = NOTHING
    """What the user lets the mesh file do beyond its folder."""


class Adapter(ABC):
    """Speaks to one model. One object serves many calls at once, all on one event loop."""

    kind: ClassVar[str]
    """The entry point's name: `openai`."""
    Spec: ClassVar[type[ModelSpec]]
    """The schema of its models in the mesh file: `ModelSpec` and its own fields, `adapter` narrowed to `Literal[kind]`."""

    @abstractmethod
    def __init__(self, spec: Any, around: Surroundings) -> None:
        """Store what is given; connect to nothing."""

    @classmethod
    def problems(cls, spec: Any, folder: Path, allowed: Allowed) -> Iterator[tuple[str, Problem]]:  # noqa: ARG003  for heirs that look
        """Yield what keeps the entry from being used that its schema cannot see, each with the field it is about.

        For `config check`: files that are not there, code that cannot be imported. `folder` is the mesh file's,
        `allowed` what the user lets it do beyond its folder.
        """
        return iter(())

    async def open(self) -> None:
        """Make ready (load weights, import the function); raises PartsongError with a remedy when it cannot."""
        return

    async def close(self) -> None:
        """Let go of connections and memory; may be called once, also when `open` failed."""
        return

    @abstractmethod
    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Make one attempt.

        With `on_text` the reply is streamed and each piece of text handed over as it comes; the completion is the same as without.
        A cancelled attempt closes its upstream request before it returns. Whatever goes wrong upstream is a Failure whose `sent` is true to
        fact; an exception out of here is a fault of the adapter.
        """


@cache
def adapter_kinds() -> Mapping[str, type[Adapter]]:
    """Return every installed adapter class by its name (entry points of group `partsong.adapters`), each loaded when it is first taken."""
    kinds = _Installed({point.name: point for point in entry_points(group="partsong.adapters")})
    if not kinds:
        raise MeshError(
            "no-adapters", "no adapter is installed", remedy="install the package (`pip install partsong`), do not only copy its folder"
        )
    return kinds


class _Installed(Mapping[str, type[Adapter]]):
    def __init__(self, points: Mapping[str, EntryPoint]) -> None:
        self._points = points

    def __getitem__(self, name: str) -> type[Adapter]:
        point = self._points[name]
        try:
            kind: type[Adapter] = point.load()
        except (ImportError, AttributeError) as error:
            remedy = f"install what {point.value} imports, or take its package off"
            raise MeshError("adapter-broken", f"adapter {name!r} cannot be loaded: {error}", remedy=remedy) from error
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)
