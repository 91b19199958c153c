from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from partsong.adapters.adapter import Adapter, Surroundings
from partsong.contracts import Completion, Failure, ModelSpec, SecretRef, Task
from partsong.errors import Problem
from partsong.mesh.check import Findings, Look, examined
from partsong.mesh.compose import composed_file


class WireSpec(ModelSpec):
    adapter: Literal["wire"]
    api_key: SecretRef | None = None
    """Where the key is."""


class _Mute(Adapter):
    def __init__(self, spec: Any, around: Surroundings) -> None:
        self.spec = spec

    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        raise AssertionError("a mesh file is checked without a call")


class WireAdapter(_Mute):
    kind: ClassVar[str] = "wire"
    Spec: ClassVar[type[ModelSpec]] = WireSpec


class EchoSpec(ModelSpec):
    adapter: Literal["echo"]


class EchoAdapter(_Mute):
    kind: ClassVar[str] = "echo"
    Spec: ClassVar[type[ModelSpec]] = EchoSpec


KINDS: Mapping[str, type[Adapter]] = {"wire": WireAdapter, "echo": EchoAdapter}


class Folder:
    """A folder of mesh files, and what a check of them finds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def check(self, text: str | bytes, *, env: Mapping[str, str] | None = None, **look: Any) -> Findings:
        path = self.write("mesh.yaml", text)
        return examined(composed_file(path).root, Look(self.path, env or {}, adapters=KINDS, **look))

    def spots(self, problems: tuple[Problem, ...]) -> list[tuple[str, str, str]]:
        """Return code, `line:column` and field of each problem."""
        return [(p.code, f"{p.at.line}:{p.at.column}", p.at.field) for p in problems if p.at is not None]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)
