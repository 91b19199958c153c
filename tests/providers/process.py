"""A provider as a process of its own: `with running_server("providers.openai", "--latency", "0.05") as server: server.url`."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from providers.faults import Fault, FaultKind
from providers.provider import Arrival

_TESTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class RunningServer:
    url: str
    """The API's base address, as a mesh file wants it."""
    pid: int

    def stats(self, *, summary: bool = False) -> dict[str, Any]:
        """Return what the server counted; with `summary`, without the prompts."""
        return self._control("_stats?summary=1" if summary else "_stats")

    def arrivals(self) -> list[Arrival]:
        """Return the good requests in the order they came."""
        return [Arrival(*fields) for fields in self._control("_arrivals")["arrivals"]]

    def fault(self, kind: FaultKind, **fields: Any) -> None:
        """Let the next call (the next `times` calls that match) fail, as `providers.faults.Fault` says."""
        Fault(kind, **fields)
        self._control("_faults", {"kind": kind, **fields})

    def admit(self, *keys: str) -> None:
        """Admit these keys and no others."""
        self._control("_keys", list(keys))

    def reset(self) -> None:
        """Forget all counts and all faults."""
        self._control("_reset", {})

    def _control(self, path: str, fields: dict[str, Any] | list[str] | None = None) -> dict[str, Any]:
        body = None if fields is None else json.dumps(fields).encode()
        with urlopen(Request(f"http://{urlsplit(self.url).netloc}/{path}", body), timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
        return answer


@contextmanager
def running_server(module: str, *arguments: str) -> Iterator[RunningServer]:
    """Start `python -m module` from the folder of the tests, and end it in the end."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=_TESTS, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} ended with {process.wait()} before it listened")
        yield RunningServer(line.split()[-1], process.pid)
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()
