"""A bench for tests of runs: a folder with an input, the sessions run on it over a scripted engine, and what they told."""

import json
from pathlib import Path

from partsong_cluster.batch.run import Limits
from partsong_cluster.batch.session import RunOrder, Session
from partsong_cluster.batch.stop import Stop
from scripted_engine import Script, ScriptedEngine, echo

from partsong.mesh import LoadedMesh, load_text

__all__ = ["MESH", "Bench", "Silent", "loaded"]

MESH = """
version: 1
models:
  mini: {adapter: recorded, file: outcomes.jsonl}
"""


class Bench:
    """A folder with an input, and the sessions run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.input = folder / "in.jsonl"
        self.stop = Stop()
        self.engine = ScriptedEngine(self.out)
        self.watcher = Silent()

    def rows(self, count: int) -> "Bench":
        self.input.write_text("".join(json.dumps({"id": f"q{n}", "prompt": f"question {n}", "kind": n % 3}) + "\n" for n in range(count)))
        return self

    async def run(
        self,
        script: Script = echo,
        *,
        mesh: str = MESH,
        concurrency: int = 8,
        limits: Limits | None = None,
        **order: object,
    ) -> dict:
        self.stop = Stop()
        self.engine = ScriptedEngine(self.out, script, concurrency)
        session = Session(
            RunOrder("mesh.yaml", str(self.input), self.out, limits=limits or Limits(), **order),  # type: ignore[arg-type]
            loaded(mesh, self.folder),
            lambda: self.engine,
            self.watcher,
            self.stop,
        )
        return await session.work()

    def output(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "output.jsonl").read_text().splitlines()]

    def errors(self) -> list[dict]:
        return [json.loads(line) for line in (self.out / "errors.jsonl").read_text().splitlines()]


class Silent:
    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, *state: object) -> None:
        pass

    def say(self, line: str) -> None:
        self.said.append(line)


def loaded(mesh: str, folder: Path) -> LoadedMesh:
    (folder / "outcomes.jsonl").touch()
    (folder / "other.jsonl").touch()
    return load_text(mesh, folder, env={})
