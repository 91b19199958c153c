"""Recorded outcomes: what real models answered once, read from a file, as if they were asked now.

The file is JSON Lines, gzip or plain; a line is one answer of one model to one row:

    {"id": "gsm/0", "model": "gpt-4o", "answer": "18", "out_chars": 199}

`id`, `model` and `answer` are needed (a null answer: nothing readable came; it reads as empty text). Further keys, all optional:

- `out_chars`: length of the whole output, where `answer` is only its last word;
- `in_chars`: length of the whole prompt, where the row has only its question;
- `usage`: `prompt_tokens`, `completion_tokens`, ... where they were recorded; otherwise tokens are estimated, 4 characters each;
- `sample`: 0 unless several were drawn.

Other keys are left alone. Any number of models and rows share a file; a process reads it once.
"""

import asyncio
import difflib
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field, ValidationError

from partsong.adapters.adapter import Adapter, Surroundings
from partsong.adapters.beside import FileName, beside
from partsong.contracts import Completion, Duration, Failure, FailureCode, ModelSpec, Task, Timing, Usage
from partsong.contracts.allowed import Allowed
from partsong.errors import MeshError, Place, Problem

__all__ = ["RecordedAdapter", "RecordedSpec"]


_LONGEST_LINE = 16_000_000
_MOST_CHARS = 4_000_000_000
"""Once unpacked: gzip makes a thousand characters of one byte."""


class RecordedSpec(ModelSpec):
    """A recorded model in the mesh file."""

    sees_row: ClassVar[bool] = True

    adapter: Literal["recorded"]
    file: FileName
    """Outcomes, JSON Lines, gzip or plain; relative to the mesh file."""
    key: str = ""
    """Which metadata of the task names the recorded row; empty: the task's own id."""
    latency: Duration | None = None
    """How long each call waits; None answers at once."""
    tokens_per_s: Annotated[float, Field(gt=0.0)] | None = None
    """Wait further for the output tokens, at this rate."""


class _Outcome(NamedTuple):
    answer: str
    out_chars: int
    in_chars: int | None
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class _Recording:
    outcomes: dict[tuple[str, str, int], _Outcome]
    """By model, row and sample."""
    models: frozenset[str]


class RecordedAdapter(Adapter):
    """Looks one model's answers up."""

    kind: ClassVar[str] = "recorded"
    Spec: ClassVar[type[ModelSpec]] = RecordedSpec

    @classmethod
    def problems(cls, spec: RecordedSpec, folder: Path, allowed: Allowed) -> Iterator[tuple[str, Problem]]:  # noqa: ARG003  the schema asks
        """See Adapter.problems."""
        if not (folder / spec.file).is_file():
            what, remedy = f"there is no file {folder / spec.file}", "name a file of recorded outcomes, relative to the mesh file"
            yield "file", Problem("recorded-missing", what, remedy=remedy)

    def __init__(self, spec: RecordedSpec, around: Surroundings) -> None:
        self._spec = spec
        self._around = around
        self._model = spec.model or around.name
        self._recording: _Recording | None = None

    async def open(self) -> None:
        """Read the file, unless another model of this process has; it must hold this model."""
        self._recording = await asyncio.to_thread(_read_once, beside(self._around.folder, self._spec.file, self._around.allowed))
        if self._model not in self._recording.models:
            near = difflib.get_close_matches(self._model, self._recording.models, n=3, cutoff=0.4) or sorted(self._recording.models)[:10]
            raise MeshError(
                "model-not-recorded", f"{self._spec.file} holds no answer of {self._model!r}", remedy=f"it holds: {', '.join(near)}"
            )

    async def complete(self, task: Task, on_text: Callable[[str], None] | None = None) -> Completion | Failure:
        """Return the recorded answer, after the latency that was asked for."""
        assert self._recording is not None, "open comes first"
        start_s = time.perf_counter()
        row, sample = self._row(task), task.sampling.sample
        outcome = self._recording.outcomes.get((self._model, row, sample))
        if outcome is None:
            return Failure(
                code=FailureCode.NO_RECORDING,
                message=f"{self._spec.file} holds no answer of {self._model} to row {row!r}" + (f", sample {sample}" if sample else ""),
                where=self._around.name,
            )
        usage = outcome.usage or _estimated(task, outcome)
        await self._wait(usage)
        if on_text is not None:
            on_text(outcome.answer)
        return Completion(
            text=outcome.answer,
            model=self._model,
            usage=usage,
            cost_usd=0.0 if self._spec.price is None else self._spec.price.cost_usd(usage),
            timing=Timing(total_s=time.perf_counter() - start_s),
        )

    def _row(self, task: Task) -> str:
        return task.id if not self._spec.key else str(task.metadata.get(self._spec.key, ""))

    async def _wait(self, usage: Usage) -> None:
        rate = self._spec.tokens_per_s
        wait_s = (self._spec.latency or 0.0) + (usage.completion_tokens / rate if rate else 0.0)
        if wait_s:
            await asyncio.sleep(wait_s)


def _estimated(task: Task, outcome: _Outcome) -> Usage:
    in_chars = outcome.in_chars if outcome.in_chars is not None else sum(len(message.text) for message in task.messages)
    return Usage(prompt_tokens=-(-in_chars // 4), completion_tokens=-(-outcome.out_chars // 4), estimated=True)


_reading = threading.Lock()
_read: dict[tuple[Path, int, int], _Recording] = {}


def _read_once(path: Path) -> _Recording:
    """Return the file's outcomes, kept for the process; a file that has changed since is read again."""
    with _reading:
        try:
            at = path.resolve()
            stat = at.stat()
            key = (at, stat.st_mtime_ns, stat.st_size)
            if key not in _read:
                _read[key] = _parsed(at)
            return _read[key]
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise MeshError(
                "recording-unreadable",
                f"{path}: {error}",
                remedy="`file` names JSON Lines of recorded outcomes, gzip or plain, relative to the mesh file",
            ) from error


def _parsed(path: Path) -> _Recording:
    outcomes: dict[tuple[str, str, int], _Outcome] = {}
    for line, text in enumerate(_lines(path), start=1):
        if text.isspace():
            continue
        try:
            entry = json.loads(text)
            outcomes[entry["model"], entry["id"], entry.get("sample", 0)] = _outcome(entry)
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
            raise MeshError(
                "recording-malformed",
                f"no recorded outcome: {type(error).__name__} {str(error)[:200]}",
                at=Place(str(path), line),
                remedy='a line reads {"id": "gsm/0", "model": "gpt-4o", "answer": "18", "out_chars": 199}',
            ) from error
    return _Recording(outcomes, frozenset(model for model, _, _ in outcomes))


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as text:
        read_chars = 0
        while line := text.readline(_LONGEST_LINE):
            read_chars += len(line)
            if len(line) == _LONGEST_LINE or read_chars > _MOST_CHARS:
                what = f"a line is longer than {_LONGEST_LINE:,} characters, or the whole file than {_MOST_CHARS:,}"
                remedy = "split the file by models; is it one of recorded outcomes?"
                raise MeshError("recording-too-large", what, at=Place(str(path)), remedy=remedy)
            yield line


def _outcome(entry: dict[str, Any]) -> _Outcome:
    answer = entry["answer"]
    if not isinstance(answer, str | None) or not isinstance(entry["id"], str) or not isinstance(entry["model"], str):
        raise TypeError("id, model and answer are strings (answer may be null)")
    text = answer or ""
    usage = entry.get("usage")
    return _Outcome(
        answer=text,
        out_chars=int(entry.get("out_chars", len(text))),
        in_chars=entry.get("in_chars"),
        usage=None if usage is None else Usage(**usage),
    )
