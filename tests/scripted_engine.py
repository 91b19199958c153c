"""A scripted engine for tests: answers rows from a function, over a real journal; counts what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from partsong.contracts import Answer, BillLine, Failure, Reply, Route, Row, RowOutcome, RowRecord, Usage
from partsong.journal.journal import Journal
from partsong.journal.sqlite import SqliteStore
from partsong.telemetry import Telemetry

Script = Callable[[Row], Awaitable[Reply]]


def answer(text: str, *, cost_usd: float = 0.001, latency_s: float = 0.25) -> Answer:
    line = BillLine(step="mini", model="mini", usage=Usage(prompt_tokens=10, completion_tokens=5), cost_usd=cost_usd, latency_s=latency_s)
    return Answer(text=text, source="mini", route=Route(use="mini", reason="rule 1: default"), bill=(line,), latency_s=latency_s)


async def echo(row: Row) -> Reply:
    return answer(row.task.text.upper())


class ScriptedEngine:
    """Implements Engine: a row's record is durable before its outcome is told."""

    def __init__(self, folder: Path, script: Script = echo, concurrency: int = 8, telemetry: Telemetry | None = None) -> None:
        self.concurrency = concurrency
        self.telemetry = telemetry or Telemetry.off()
        self.asked: list[Row] = []
        self.ended: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._script = script
        self._folder = folder
        self._journal: Journal | None = None

    async def __aenter__(self) -> Self:
        self._journal = Journal(SqliteStore.open(self._folder / "journal.db"))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.journal.aclose()

    @property
    def journal(self) -> Journal:
        assert self._journal is not None
        return self._journal

    def over(self, run: str) -> None:
        self.ended.append(run)

    async def answer(self, row: Row, on_text: Callable[[str], None] | None = None) -> RowOutcome:
        self.asked.append(row)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            reply = await self._script(row)
        finally:
            self.in_flight -= 1
        record = RowRecord(
            run=row.run, row=row.row, custom_id=row.task.id, task=row.task, reply=reply, line=row.line, source=row.source, at_s=1.7e9
        )
        await self.journal.append([record])
        return RowOutcome(row=row.row, custom_id=row.task.id, reply=reply)


__all__ = ["Answer", "Failure", "ScriptedEngine", "answer", "echo"]
