"""Scene: what every trial runs: one mesh of nested plans, its rows, the command, and the answers that nothing disturbed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CALLS_IN_FLIGHT", "TIMEOUT_S", "Scene", "answers_in", "mesh_asking", "rows_of", "undisturbed"]

_PARTSONG = Path(sys.executable).with_name("partsong")
_TESTS = Path(__file__).resolve().parent.parent

ROWS_IN_FLIGHT = 96
CALLS_IN_FLIGHT = 2 * ROWS_IN_FLIGHT
"""At most: a row has two calls that are in flight, or ended and not yet on disk."""

_MESH = """\
version: 1
models:
  small: &upstream
    adapter: openai
    model: small
    base_url: {url}
    api_key: {{env: UPSTREAM_KEY}}
    price: {{input: 0.1, output: 0.2}}
    concurrency: 32
    timeout: {timeout_s}
  medium: {{<<: *upstream, model: medium, concurrency: 16, workers: {{min: 2, max: 2}}}}
  large: {{<<: *upstream, model: large}}
plans:
  panel: {{ensemble: {{members: [small, medium], merge: majority}}}}
  climb: {{cascade: [{{ask: panel, trust: {{regex: "even"}}}}, {{ask: large}}]}}  # every other row climbs
  apart:
    decompose:
      workers: {{text: climb, code: small}}
      compose: large
      compose_prompt: {{text: "Sum of {{{{ task }}}}: {{{{ results.sum }}}}"}}
      parts:
        - {{id: say, kind: text, about: what is said, prompt: {{text: "Say {{{{ task }}}}"}}}}
        - {{id: sum, kind: code, about: what it comes to, needs: [say], prompt: {{text: "Sum up {{{{ results.say }}}}"}}}}
routes: [{{use: apart}}]
"""
"""A decompose whose one part is a cascade over an ensemble: four or five calls a row, up to four deep."""

TIMEOUT_S = 20.0
"""Of a call: a worker may stand still for longer, so that its calls end by their caller's clock."""


def mesh_asking(url: str) -> str:
    """Return the mesh, with its provider at this address."""
    return _MESH.format(url=url, timeout_s=TIMEOUT_S)


def rows_of(count: int) -> str:
    """Return the input."""
    rows = ({"id": f"id-{n}", "prompt": f"row {n}, {'odd' if n % 2 else 'even'}"} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


@dataclass(frozen=True, slots=True)
class Scene:
    """One trial's folder and rows."""

    folder: Path
    rows: int
    url: str

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def journal(self) -> Path:
        return self.out / "journal.db"

    @property
    def ids(self) -> list[str]:
        return [f"id-{n}" for n in range(self.rows)]

    def written(self) -> "Scene":
        """Write mesh and rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "mesh.yaml").write_text(mesh_asking(self.url))
        (self.folder / "in.jsonl").write_text(rows_of(self.rows))
        return self

    def started(self, engine: str = "ray") -> subprocess.Popen:
        """Start the run, or go on with it: the command is the same."""
        command = [_PARTSONG, "run", "mesh.yaml", "in.jsonl", "-o", "out", "--quiet", "--engine", engine]
        command += ["--concurrency", str(ROWS_IN_FLIGHT)]
        environment = {**os.environ, "UPSTREAM_KEY": "k"}
        with (self.folder / "said.log").open("ab") as said:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=said)


def answers_in(out: Path) -> Mapping[str, str]:
    """Return the answers by id, as the output file has them."""
    lines = [json.loads(line) for line in (out / "output.jsonl").read_text().splitlines()]
    return {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}


def undisturbed(folder: Path, rows: int, url: str) -> Mapping[str, str]:
    """Return the answers of a run in one process that nothing happens to."""
    scene = Scene(folder, rows, url).written()
    if code := scene.started("inline").wait(600):
        raise RuntimeError(f"the undisturbed run ended with {code}: {(folder / 'said.log').read_text()}")
    return answers_in(scene.out)
