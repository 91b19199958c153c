"""Rollouts at work: what each has come to is kept in the journal, and which runs brought it there, so that later ones go on from there.

A rollout has a run of its own in the journal: a row for each share that was reached, and one for each run whose rows it was shown.
"""

import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from hashlib import blake2b

from partsong.contracts import Answer, Probability, Route, RowRecord
from partsong.journal.port import JournalPort
from partsong.routing.experiments import Experiment, rollout_run
from partsong.routing.rollout import Advanced, RolloutInstruction, Rollouts, Stopped

__all__ = ["KeptRollouts"]

_ROWS_A_STEP = 256
_PER_SHARE = 1_000_000
_UNTIL = "`partsong experiment rollback` or `promote` decides; another name begins anew"


class KeptRollouts:
    """All rollouts of a mesh, as one run works them and others on the same store have left them."""

    def __init__(
        self, experiments: Mapping[str, Experiment], journal: JournalPort, tell: Callable[[str], None], stops: Collection[str] = ()
    ) -> None:
        """`tell` hears, in words, where a rollout goes on, and what changes; `stops` are known to have stopped themselves."""
        self._rollouts = Rollouts(experiments)
        self._journal = journal
        self._tell = tell
        self._shown: set[tuple[str, str]] = set()
        """Rollouts and the runs that are on record as theirs."""
        for name in self._rollouts.going.keys() & set(stops):
            self._rollouts.reached(name, 0.0)

    def __bool__(self) -> bool:
        return bool(self._rollouts.going)

    @property
    def shares(self) -> dict[str, Probability]:
        """The challenger's share now, by experiment."""
        return self._rollouts.shares

    async def begin(self) -> Sequence[RolloutInstruction]:
        """Go to where earlier runs have brought each rollout, and take their rows; return what changes by them."""
        changes: list[RolloutInstruction] = []
        for name in self._rollouts.going:
            runs = await self._hear(name)
            self._shown |= {(name, run) for run in runs}
            for run in runs if 0.0 < self.shares[name] < 1.0 else ():
                records = self._rows(run)
                changes += [change async for record in records if _experiment_of(record) == name and (change := await self._saw(record))]
        return changes

    async def saw(self, record: RowRecord) -> RolloutInstruction | None:
        """Take a finished row; return what changes, which is durable by then."""
        name = _experiment_of(record)
        if name in self._rollouts.going and (name, record.run) not in self._shown:
            self._shown.add((name, record.run))
            number = int.from_bytes(blake2b(record.run.encode(), digest_size=6).digest()) + _PER_SHARE + 1
            await self._keep(name, number, record.run)
        return await self._saw(record)

    async def _hear(self, name: str) -> list[str]:
        """Go to the share that others have brought the rollout to; return the runs whose rows it was shown."""
        news, runs = "", []
        async for record in self._rows(rollout_run(name, self._rollouts.going[name])):
            route = record.reply.route
            if route is None or route.propensity is None:
                runs.append(record.custom_id)
            elif self._rollouts.reached(name, route.propensity):
                when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(record.at_s))
                news = f"In run {record.custom_id}, {when} UTC: {route.reason}{'' if route.propensity else f'; {_UNTIL}'}"
        if news:
            self._tell(news)
        return runs

    async def _saw(self, record: RowRecord) -> RolloutInstruction | None:
        change = self._rollouts.saw(record)
        if change is not None:
            self._tell(str(change))
        if isinstance(change, Advanced | Stopped):
            use = self._rollouts.going[change.name].challenger
            route = Route(use=use, reason=str(change), propensity=change.share, experiment=change.name, arm="challenger")
            await self._keep(change.name, round(change.share * _PER_SHARE), record.run, route)
            await self._hear(change.name)
        return change

    async def _keep(self, name: str, row: int, run: str, route: Route | None = None) -> None:
        """Append a row to the rollout's own run; one that others have recorded already stays as it was."""
        own = rollout_run(name, self._rollouts.going[name])
        await self._journal.append([RowRecord(run=own, row=row, custom_id=run, reply=Answer(text="", route=route), at_s=time.time())])

    async def _rows(self, run: str) -> AsyncIterator[RowRecord]:
        seq = 0
        while found := await self._journal.rows(run, seq, _ROWS_A_STEP):
            for seq, record in found:  # noqa: B007  the last one's place starts the next step
                yield record


def _experiment_of(record: RowRecord) -> str:
    return "" if record.reply.route is None else record.reply.route.experiment
