"""What `partsong run` says while it runs, with the time of each line."""

import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

PARTSONG = Path(sys.executable).with_name("partsong")

MESH = """\
version: 1
models:
  mini: {{adapter: openai, model: mini, base_url: {url}, api_key: {{env: UPSTREAM_KEY}}, concurrency: 16, timeout: 5s}}
routes: [{{use: mini}}]
"""


class Telling:
    """A run under way."""

    def __init__(self, process: asyncio.subprocess.Process):
        self.process = process
        self.lines: list[tuple[float, str]] = []
        self._more = asyncio.Event()

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        while line := await self.process.stderr.readline():
            self.lines.append((loop.time(), line.decode().strip()))
            self._more.set()

    async def says(self, words: str, since_s: float, within_s: float = 30.0) -> float:
        """Return how long after `since_s` it said these words."""
        async with asyncio.timeout(within_s):
            while True:
                for at_s, line in self.lines:
                    if words in line:
                        return at_s - since_s
                self._more.clear()
                await self._more.wait()

    def count(self, words: str) -> int:
        return sum(words in line for _, line in self.lines)

    def __repr__(self) -> str:
        return "\n".join(line for _, line in self.lines)


@asynccontextmanager
async def running(folder: Path, url: str, engine: str, *, rows: int = 400, key: str = "test-key"):
    """Start a run of many rows; what is left of it is ended in the end."""
    (folder / "mesh.yaml").write_text(MESH.format(url=url))
    (folder / "in.jsonl").write_text("".join(json.dumps({"id": str(n), "prompt": f"row {n}"}) + "\n" for n in range(rows)))
    command = [PARTSONG, "run", "mesh.yaml", "in.jsonl", "-o", "out", "--engine", engine]
    environment = {**os.environ, "UPSTREAM_KEY": key, "COLUMNS": "400"}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=asyncio.subprocess.DEVNULL, stderr=pipe)
    run = Telling(process)
    listening = asyncio.create_task(run.listen())
    try:
        yield run
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
