"""Run: the loop of a batch: rows are read, answered a bounded number at a time, and published; it can stop and go on at any row."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from partsong.contracts import CallRecord, Failure, FailureCode, Reply, Row, RowRecord, Task, Terms
from partsong.engine import Engine
from partsong.errors import BudgetError, InputError, Place, RunError, most_telling
from partsong.journal.store import RunInfo
from partsong.routing.rollout import RolloutInstruction, Stopped
from partsong.telemetry.levels import ROWS_UNPUBLISHED
from partsong.work.rollouts import KeptRollouts
from partsong_cluster.batch.aside import aside
from partsong_cluster.batch.attempts import Attempts
from partsong_cluster.batch.frontier import Frontier
from partsong_cluster.batch.ingest import Ingest, InputRules
from partsong_cluster.batch.ledger import Ledger
from partsong_cluster.batch.output import Output
from partsong_cluster.batch.places import InputFile
from partsong_cluster.batch.position import BadRow, Position, Read
from partsong_cluster.batch.publisher import Publisher
from partsong_cluster.batch.stop import Outcome, Stop
from partsong_cluster.batch.tally import Tally
from partsong_cluster.batch.told import RunLevels

__all__ = ["BatchRun", "Limits", "RunInput", "Watcher"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a session of a run may do."""

    rows: int | None = None
    """Rows of the input, counted from its start."""
    budget_usd: float | None = None
    """US dollars of the whole run, earlier sessions included."""
    deadline_s: float | None = None
    """Seconds from the session's start."""
    concurrency: int | None = None
    """Rows in flight; None takes the engine's own number."""
    grace_s: float = 30.0
    """How long rows in flight may go on after the first Ctrl-C."""


@dataclass(frozen=True, slots=True)
class RunInput:
    """What is to be read, and how."""

    files: Sequence[InputFile]
    rules: InputRules
    use: str | None = None
    """The model or plan of all rows, whatever they say themselves."""


class Watcher(Protocol):
    """Whoever shows how a run is doing."""

    def show(self, tally: Tally, in_flight: int, fraction: float | None) -> None:
        """Show the state; `fraction` is the share of the input that is done, where that is known."""
        ...

    def say(self, line: str) -> None:
        """Say something once."""
        ...


_SHOWN_EVERY_S = 1.0
_DAY_S = 86_400.0


class BatchRun:
    """One session of one run."""

    def __init__(
        self,
        engine: Engine,
        info: RunInfo,
        output: Output,
        ledger: Ledger,
        input: RunInput,
        limits: Limits,
        stop: Stop,
        watcher: Watcher,
        *,
        weight: Callable[[], float],
        limits_usd: bool = False,
        rollouts: KeptRollouts,
        stopped: Callable[[Stopped], None],
    ) -> None:
        """`weight` returns its share beside other runs on the engine; `limits_usd` says that the mesh limits dollars of a run or a day.

        `stopped` hears of a rollout that stops itself in this session.
        """
        self._engine = engine
        self._info = info
        self._ledger = ledger
        self._input = input
        self._limits = limits
        self._stop = stop
        self._watcher = watcher
        self._limits_usd = limits_usd or limits.budget_usd is not None
        self._place = Place(output.place)
        self.publisher = Publisher(output, engine.journal, ledger, self._on_published)
        engine.telemetry.gauge(*ROWS_UNPUBLISHED, lambda: self.publisher.waiting_rows)
        self._levels = RunLevels(engine.telemetry, info.run, limits.budget_usd)
        self._reading = Attempts("input", stop, output.tell, limits.grace_s)
        self._ingest = Ingest(input.files, input.rules, ledger.first_row, ledger.position())
        self._frontier = Frontier(ledger.position())
        self._window = limits.concurrency or engine.concurrency
        self._tasks: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()
        """A row is finished, rows are published, or stopping is asked for."""
        self._reading_error: InputError | None = None
        self._weight = weight
        self._terms = Terms()
        self._rollouts = rollouts
        self._on_stop = stopped
        self._codes_told: set[FailureCode] = set()
        self.refused: str | None = None
        """Which call a budget refused, and why; None while it has refused none."""

    async def work(self) -> Outcome:
        """Answer and publish rows until the input ends or something stops it; PartsongError when it cannot go on."""
        self._stop.listen(self._change.set)
        resumed = await self._begin()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.publisher.work())
                showing = group.create_task(self._showing())
                outcome = await self._feed(group, resumed=resumed)
                outcome = await self._drained(outcome)
                if self.refused is not None and outcome is Outcome.COMPLETE:
                    outcome = Outcome.BUDGET  # refused when every row was handed out already
                self.publisher.finish()
                showing.cancel()
            if outcome is Outcome.COMPLETE and self._reading_error is None:
                await self.publisher.seal()
        except BaseExceptionGroup as errors:
            raise most_telling(errors) from errors
        finally:
            self.publisher.close()
            self._ledger.keep_position(self._frontier.low)
        if self._reading_error is not None:
            raise self._reading_error
        return outcome

    @property
    def tally(self) -> Tally:
        """What the run has come to, as far as it is in the output files."""
        return self.publisher.tally

    @property
    def unused(self) -> dict[str, int]:
        """Rows of this session by request fields that changed nothing."""
        return dict(self._ingest.unused)

    async def _begin(self) -> bool:
        """Bring journal, files and tally together; return whether there is an earlier session to go on from."""
        journal, run = self._engine.journal, self._info.run
        resumed = await journal.run(run) is not None
        if not resumed and self._frontier.low != Position():
            raise RunError("journal-gone", "the journal of this run is gone", at=self._place, remedy="--fresh starts again")
        await journal.begin(self._info)
        await self.publisher.begin()
        for change in await self._rollouts.begin():
            self._acted(change)
        self.tally.sessions += 1
        self.publisher.keep_tally()
        if self._limits_usd:
            now_s = time.time()
            self._terms = Terms(
                budget_usd=self._limits.budget_usd,
                spent_usd=dict(await journal.spent(run, 0.0)),
                today_usd=dict(await journal.spent(None, now_s - now_s % _DAY_S)),
            )
        return resumed

    async def _feed(self, group: asyncio.TaskGroup, *, resumed: bool) -> Outcome:
        """Hand rows to the engine, a bounded number at a time; return why no more are handed out."""
        while self._stop.why is None:
            block = await self._block()
            if not block:
                break
            done, held = await self._known(block) if resumed else (frozenset[int](), {})
            for read in block:
                if self._limits.rows is not None and read.at.row >= self._limits.rows:
                    return Outcome.COMPLETE
                if read.at.row in done:
                    self._frontier.skip(read)
                elif why := await self._handed_out(read, held.get(read.at.row, []), group):
                    return why
            self._ledger.keep_position(self._frontier.low)
        return self._stop.why or Outcome.COMPLETE

    async def _block(self) -> Sequence[Read]:
        """Return the next rows; none at the input's end, or when stopping is asked for meanwhile."""
        reading = asyncio.ensure_future(self._reading.until(lambda: aside(self._ingest.block)))
        asked = asyncio.ensure_future(self._stop.asked())
        try:
            await asyncio.wait((reading, asked), return_when=asyncio.FIRST_COMPLETED)
            return reading.result() if reading.done() else ()
        except InputError as error:
            self._reading_error = error
            return ()
        finally:
            reading.cancel()
            asked.cancel()

    async def _known(self, block: Sequence[Read]) -> tuple[frozenset[int], dict[int, list[CallRecord]]]:
        """Return what the journal has of these rows: those that are done, and the calls of those that are half done."""
        journal, run, first, last = self._engine.journal, self._info.run, block[0].at.row, block[-1].at.row
        done = await journal.done(run, first, last)
        held: dict[int, list[CallRecord]] = {}
        for call in await journal.calls(run, first, last):
            held.setdefault(call.row, []).append(call)
        return done, held

    async def _handed_out(self, read: Read, held: Sequence[CallRecord], group: asyncio.TaskGroup) -> Outcome | None:
        """Wait for room and start the row; return why not, when stopping comes first."""
        while self._stop.why is None:
            if len(self._tasks) < self._window and self.publisher.has_room:
                self._start(read, held, group)
                return None
            self._change.clear()
            await self._change.wait()
        return self._stop.why

    def _start(self, read: Read, held: Sequence[CallRecord], group: asyncio.TaskGroup) -> None:
        self._frontier.enter(read)
        task = group.create_task(self._row(read, held))
        self._tasks.add(task)
        task.add_done_callback(self._row_over)

    async def _row(self, read: Read, held: Sequence[CallRecord]) -> None:
        try:
            reply = await self._bad(read, read.task) if isinstance(read.task, BadRow) else await self._answer(read, read.task, held)
        except BudgetError as error:  # the row is not done: it goes on where it stopped when there is more to spend
            self.refused = self.refused or error.problems[0].what
            if self._stop.why is None:
                self._stop.ask(Outcome.BUDGET)
            return
        if isinstance(reply, Failure) and reply.code not in self._codes_told:
            self._codes_told.add(reply.code)
            row = f"Row {read.at.row + 1} (id {read.task.id})"
            self._watcher.say(f"{row} failed: {reply.code.value}: {reply.message}. Such rows go to errors.jsonl; the run goes on.")
        self._frontier.settle(read.at.row)
        self.publisher.row_finished()

    def _row_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._change.set()

    async def _answer(self, read: Read, task: Task, held: Sequence[CallRecord]) -> Reply:
        if self._input.use is not None:
            task = task.model_copy(update={"use": self._input.use})
        if (weight := self._weight()) != self._terms.weight:
            self._terms = self._terms.model_copy(update={"weight": weight})
        row = Row(
            run=self._info.run,
            row=read.at.row,
            task=task,
            held=tuple(held),
            line=read.at.line,
            source=read.file,
            terms=self._terms,
            shares=self._rollouts.shares,
        )
        reply = (await self._engine.answer(row)).reply
        if self._rollouts:
            record = RowRecord.model_construct(run=row.run, row=row.row, custom_id=task.id, task=task, reply=reply)
            self._acted(await self._rollouts.saw(record))
        return reply

    def _acted(self, change: RolloutInstruction | None) -> None:
        if isinstance(change, Stopped):
            self._on_stop(change)

    async def _bad(self, read: Read, bad: BadRow) -> Reply:
        failure = Failure(code=FailureCode.BAD_ROW, message=bad.reason, where=f"{read.file}:{read.at.line}")
        record = RowRecord(
            run=self._info.run,
            row=read.at.row,
            custom_id=bad.id,
            reply=failure,
            line=read.at.line,
            source=read.file,
            raw=bad.raw,
            at_s=time.time(),
        )
        await self._engine.journal.append([record])
        return failure

    async def _drained(self, outcome: Outcome) -> Outcome:
        """Wait for the rows in flight, as long as stopping allows; return how the session ended."""
        loop = asyncio.get_running_loop()
        until = None
        while self._tasks and not self._stop.at_once:
            if self._stop.why is Outcome.INTERRUPTED and until is None:
                until = loop.time() + self._limits.grace_s
            self._change.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._change.wait()
            except TimeoutError:
                break
        if not self._tasks:
            return outcome
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        return self._stop.why or outcome

    async def _showing(self) -> None:
        """Show the state also while no row is finished: the first ones may take long."""
        while True:
            await asyncio.sleep(_SHOWN_EVERY_S)
            self._show()

    def _show(self) -> None:
        fraction = self._fraction()
        self._levels.saw(self.tally, fraction)
        self._watcher.show(self.tally, len(self._tasks), fraction)

    def _on_published(self) -> None:
        self._show()
        self._change.set()

    def _fraction(self) -> float | None:
        """Return the share of what is to be done that is done, where that is known."""
        high = self._frontier.high
        done = (high.row - len(self._frontier)) / high.row if high.row else 0.0
        read = self._ingest.fraction(high)
        of_input = None if read is None else read * done
        if self._limits.rows is None:
            return of_input
        return max(of_input or 0.0, min(1.0, high.row * done / self._limits.rows))
